//! Reads the parameters of a query, each as it was received and decoded, within limits and without duplicates.
//!
//! Knows neither what a parameter means nor how it is signed. A query that Shopify would not write is refused instead
//! of interpreted, because two programs might interpret it in two ways.

/// Greatest length of a query. Shopify's longest query opens an embedded app, and holds a session token of under 2,000
/// bytes.
pub const QUERY_BYTES_MAX: usize = 8_192;
/// Greatest number of parameters. Shopify writes about ten.
pub const PARAMETERS_MAX: usize = 32;

/// Why a query cannot be read, in words that repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ParametersRefused {
    #[error("the query is longer than {QUERY_BYTES_MAX} bytes")]
    TooLong,
    #[error("the query has more than {PARAMETERS_MAX} parameters")]
    TooMany,
    #[error("a part of the query is not of the form `name=value`")]
    NotAPair,
    #[error("the query has a `+`, where Shopify writes `%20` or `%2B`")]
    Plus,
    #[error("the query is not percent-encoded text")]
    Encoding,
    #[error("a parameter of the query comes twice")]
    Twice,
}

/// One parameter of a query.
pub struct Parameter<'a> {
    /// `name=value` as it was received.
    pub pair: &'a str,
    /// Decoded.
    pub name: String,
    /// Decoded.
    pub value: String,
}

/// The parameters in the order in which they were received. An empty query has none.
pub fn parameters(raw_query: &str) -> Result<Vec<Parameter<'_>>, ParametersRefused> {
    if raw_query.len() > QUERY_BYTES_MAX {
        return Err(ParametersRefused::TooLong);
    }
    let mut parameters: Vec<Parameter> = vec![];
    for pair in raw_query.split('&').filter(|_| !raw_query.is_empty()) {
        if parameters.len() == PARAMETERS_MAX {
            return Err(ParametersRefused::TooMany);
        }
        let (name, value) = pair.split_once('=').ok_or(ParametersRefused::NotAPair)?;
        if name.is_empty() {
            return Err(ParametersRefused::NotAPair);
        }
        let (name, value) = (decoded(name)?, decoded(value)?);
        if parameters.iter().any(|other| other.name == name) {
            return Err(ParametersRefused::Twice);
        }
        parameters.push(Parameter { pair, name, value });
    }
    Ok(parameters)
}

fn decoded(text: &str) -> Result<String, ParametersRefused> {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::with_capacity(text.len()));
    let digit =
        |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|n| u8::try_from(n).ok());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => return Err(ParametersRefused::Plus),
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => high * 16 + low,
                _ => return Err(ParametersRefused::Encoding),
            },
            byte if byte.is_ascii_graphic() => byte,
            _ => return Err(ParametersRefused::Encoding),
        });
    }
    String::from_utf8(decoded).map_err(|_| ParametersRefused::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw_query: &str) -> Result<Vec<(String, String)>, ParametersRefused> {
        Ok(parameters(raw_query)?.into_iter().map(|parameter| (parameter.name, parameter.value)).collect())
    }

    #[test]
    fn a_query_is_read_as_it_came_and_decoded() {
        let query = "shop=a.myshopify.com&greeting=h%C3%A9%20%2B%26%3d&empty=&host=YWI=&%62=1";
        let pairs: Vec<&str> = parameters(query).unwrap().iter().map(|parameter| parameter.pair).collect();
        assert_eq!(pairs.join("&"), query);
        let due = [("shop", "a.myshopify.com"), ("greeting", "hé +&="), ("empty", ""), ("host", "YWI="), ("b", "1")];
        assert_eq!(read(query).unwrap(), due.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn what_shopify_never_writes_is_not_read() {
        let cases = [
            ("a", ParametersRefused::NotAPair),
            ("=1", ParametersRefused::NotAPair),
            ("a=1&", ParametersRefused::NotAPair),
            ("&a=1", ParametersRefused::NotAPair),
            ("a=1&&b=2", ParametersRefused::NotAPair),
            ("a=1&b", ParametersRefused::NotAPair),
            ("a=hello+world", ParametersRefused::Plus),
            ("a+b=1", ParametersRefused::Plus),
            ("a=%", ParametersRefused::Encoding),
            ("a=%4", ParametersRefused::Encoding),
            ("a=%4g", ParametersRefused::Encoding),
            ("a=%+4", ParametersRefused::Encoding),
            ("a=%u0041", ParametersRefused::Encoding),
            ("a=%ff", ParametersRefused::Encoding),
            ("a=%c3", ParametersRefused::Encoding),
            ("a=hello world", ParametersRefused::Encoding),
            ("a=é", ParametersRefused::Encoding),
            ("a=\0", ParametersRefused::Encoding),
            ("a=1&a=2", ParametersRefused::Twice),
            ("a=1&b=2&a=1", ParametersRefused::Twice),
            ("a=1&%61=2", ParametersRefused::Twice),
        ];
        for (query, due) in cases {
            assert_eq!(read(query), Err(due), "{query:?}");
        }
    }

    #[test]
    fn a_query_has_a_size() {
        let longest = format!("a={}", "b".repeat(QUERY_BYTES_MAX - 2));
        assert!(read(&longest).is_ok());
        assert_eq!(read(&format!("{longest}b")), Err(ParametersRefused::TooLong));
        let of = |n: usize| (0..n).map(|n| format!("a{n}=")).collect::<Vec<_>>().join("&");
        assert_eq!(read(&of(PARAMETERS_MAX)).map(|all| all.len()), Ok(PARAMETERS_MAX));
        assert_eq!(read(&of(PARAMETERS_MAX + 1)), Err(ParametersRefused::TooMany));
    }
}
