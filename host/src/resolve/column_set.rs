//! A set of column indexes of one table.

use smallvec::SmallVec;

/// Empty costs nothing; up to 64 columns take one word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ColumnSet(SmallVec<[u64; 1]>);

impl ColumnSet {
    pub(super) fn insert(&mut self, column: usize) {
        let word = column / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (column % 64);
    }

    pub(super) fn contains(&self, column: usize) -> bool {
        self.0.get(column / 64).is_some_and(|w| w >> (column % 64) & 1 == 1)
    }
}

impl FromIterator<usize> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = usize>>(columns: I) -> Self {
        let mut set = ColumnSet::default();
        columns.into_iter().for_each(|c| set.insert(c));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let set: ColumnSet = [0, 63, 64, 130].into_iter().collect();
        assert_eq!((0..200).filter(|&c| set.contains(c)).collect::<Vec<_>>(), [0, 63, 64, 130]);
    }
}
