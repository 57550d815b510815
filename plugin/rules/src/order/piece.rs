//! Says what the prices of a line are in each reading of an item. Knows no JSON and neither system.

use super::amount::Micros;
use super::sum::Line;
use crate::settings::ItemPrice;

/// An item: pieces of a line that share their prices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    pub quantity: i128,
    /// What was paid, discounts off and tax included.
    pub sell: Micros,
    /// The list price with tax: what was paid and the discount together. Never below `sell`.
    pub list: Micros,
    /// The tax within `sell`. Per piece it is rounded down to the minor unit: it informs and is in no sum.
    pub tax: Micros,
}

/// More pieces than this are not sent one by one.
pub const EACH_MAX: i128 = 1_000;

/// The items that a line becomes. What was paid for them sums to what was paid for the line: sold × quantity when the
/// price is per unit, sold alone when it is per line, and both when each piece is an item.
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

/// One item, or two when the line does not divide: the cheaper pieces first, the others a minor unit dearer.
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
