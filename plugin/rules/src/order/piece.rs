//! Computes the prices of a line's items for each meaning that a price can have. Knows no JSON and neither system.

use super::amount::Micros;
use super::sum::Line;
use crate::settings::ItemPrice;

/// An item: pieces of a line that have the same prices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    pub quantity: i128,
    /// The price paid: after discounts, with tax.
    pub sell: Micros,
    /// The list price with tax: the price paid plus the discount. Never below `sell`.
    pub list: Micros,
    /// The tax within `sell`. Per piece it is rounded down to the minor unit; it is information only and part of no
    /// sum.
    pub tax: Micros,
}

/// A line with more pieces than this is not sent piece by piece.
pub const EACH_MAX: i128 = 1_000;

/// The items that a line becomes. The amounts paid for them always sum to the amount paid for the line: price ×
/// quantity when prices are per unit, the price alone when they are per line, and either when each piece is an item.
pub fn pieces(line: &Line, reading: ItemPrice, unit: Micros) -> Vec<Piece> {
    match reading {
        ItemPrice::Line => {
            let list = line.net + line.discount;
            vec![Piece { quantity: line.quantity, sell: line.net, list: list.max(line.net), tax: line.tax }]
        }
        ItemPrice::Unit => per_unit(line, unit),
        ItemPrice::Each => {
            let alone = |piece: Piece| (0..piece.quantity).map(move |_| Piece { quantity: 1, ..piece });
            per_unit(line, unit).into_iter().flat_map(alone).collect()
        }
    }
}

/// One item, or two when the amount does not divide evenly: first the cheaper pieces, then those that cost one minor
/// unit more.
fn per_unit(line: &Line, unit: Micros) -> Vec<Piece> {
    let each = |amount: Micros| (amount / unit).div_euclid(line.quantity) * unit;
    let sell = each(line.net);
    let dearer = (line.net / unit).rem_euclid(line.quantity);
    let piece = |quantity, sell: Micros| Piece {
        quantity,
        sell,
        list: each(line.net + line.discount).max(sell),
        tax: each(line.tax),
    };
    let split = [piece(line.quantity - dearer, sell), piece(dearer, sell + unit)];
    split.into_iter().filter(|piece| piece.quantity > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::sum::Kind;

    fn line(quantity: i128, net: Micros, discount: Micros) -> Line<'static> {
        Line {
            kind: Kind::Goods,
            id: None,
            of: None,
            view: None,
            quantity,
            gross: net + discount,
            discount,
            tax: 0,
            net,
        }
    }

    fn sold(line: &Line, reading: ItemPrice) -> Vec<(i128, Micros, Micros)> {
        pieces(line, reading, 1).iter().map(|piece| (piece.quantity, piece.sell, piece.list)).collect()
    }

    #[test]
    fn what_does_not_divide_is_split() {
        assert_eq!(sold(&line(4, 10, 0), ItemPrice::Unit), [(2, 2, 2), (2, 3, 3)]);
        assert_eq!(sold(&line(4, 12, 4), ItemPrice::Unit), [(4, 3, 4)]);
        assert_eq!(sold(&line(2, -3, 0), ItemPrice::Unit), [(1, -2, -2), (1, -1, -1)]);
        assert_eq!(sold(&line(3, 10, 2), ItemPrice::Line), [(3, 10, 12)]);
        assert_eq!(sold(&line(3, 10, 0), ItemPrice::Each), [(1, 3, 3), (1, 3, 3), (1, 4, 4)]);
    }
}
