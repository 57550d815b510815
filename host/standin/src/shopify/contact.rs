//! E-mail addresses and phone numbers as Shopify keeps them. Asks nobody.

/// ITU-T E.164: at most fifteen digits; fewer than seven is no one's number.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Recorded answer: blanks go, also inner ones; upper and lower case stay but do not make a difference.
pub(crate) fn clean_email(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// E.164, or `None`. A number needs its country code: a shop's own country is not guessed here.
pub(crate) fn normal_phone(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && !"-.()/".contains(*c)).collect();
    let digits = bare.strip_prefix('+').or_else(|| bare.strip_prefix("00"))?;
    let good = digits.bytes().all(|digit| digit.is_ascii_digit())
        && PHONE_DIGITS.contains(&digits.len())
        && !digits.starts_with('0');
    good.then(|| format!("+{digits}"))
}
