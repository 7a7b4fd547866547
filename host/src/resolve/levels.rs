//! Cuts a table's changes into rounds: in a round each key stands once, and a change sees what the earlier
//! rounds left. Within a round stream order is kept.

use super::keys::KeyedTable;

/// The rounds, each a list of rows of the table's batch in stream order.
///
/// The r-th change of a key is in round r or later. The create half of a key change comes after the last change
/// of its old key, since it may need that key's row, and later changes of the old key come after it.
pub(super) fn rounds(keyed: &KeyedTable) -> Vec<Vec<u32>> {
    let mut last = vec![0_usize; keyed.keys.len()];
    let mut rounds: Vec<Vec<u32>> = Vec::new();
    for (row, &key) in (0..).zip(&keyed.of_change) {
        let old = keyed.moved_from.get(&row).map(|&old| old as usize);
        let level = last[key as usize].max(old.map_or(0, |old| last[old]));
        last[key as usize] = level + 1;
        if let Some(old) = old {
            last[old] = level + 1;
        }
        if rounds.len() == level {
            rounds.push(Vec::new());
        }
        rounds[level].push(row);
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(of_change: &[u32], moved: &[(u32, u32)]) -> KeyedTable {
        let keys = of_change.iter().chain(moved.iter().map(|(_, old)| old)).max().map_or(0, |m| m + 1);
        KeyedTable {
            of_change: of_change.to_vec(),
            moved_from: moved.iter().copied().collect(),
            keys: (0..keys).map(u32::to_be_bytes).collect(),
            ..KeyedTable::default()
        }
    }

    #[test]
    fn each_key_stands_once_in_a_round() {
        assert_eq!(rounds(&keyed(&[0, 1, 0, 2, 0], &[])), [vec![0, 1, 3], vec![2], vec![4]]);
        assert_eq!(rounds(&keyed(&[], &[])), Vec::<Vec<u32>>::new());
    }

    #[test]
    fn the_create_half_of_a_key_change_waits_for_its_old_key() {
        // Key 0 is updated and deleted, key 1 is created from it, then key 0 is written again.
        assert_eq!(rounds(&keyed(&[0, 0, 1, 0], &[(2, 0)])), [vec![0], vec![1], vec![2], vec![3]]);
    }
}
