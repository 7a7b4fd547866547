//! The canonical keys that a batch asks for, one behind the other in one buffer: a batch has thousands, and its next
//! step takes them along.

use std::sync::Arc;

/// Canonical keys in the order in which they were added. A clone shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyList {
    packed: Arc<Packed>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Packed {
    bytes: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
}

impl KeyList {
    /// Adds a key. Where clones share the others, these are copied first.
    pub fn push(&mut self, key: &[u8]) {
        let packed = Arc::make_mut(&mut self.packed);
        packed.bytes.extend_from_slice(key);
        packed.ends.push(packed.bytes.len());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packed.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packed.ends.is_empty()
    }

    /// The key at a place.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        (at < self.len()).then(|| self.at(at))
    }

    /// All keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.at(at))
    }

    fn at(&self, at: usize) -> &[u8] {
        let Packed { bytes, ends } = &*self.packed;
        let begin = at.checked_sub(1).map_or(0, |before| ends[before]);
        &bytes[begin..ends[at]]
    }

    /// The place of a key among keys in ascending order.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.at(middle).cmp(key) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

impl<K: AsRef<[u8]>> FromIterator<K> for KeyList {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut list = KeyList::default();
        keys.into_iter().for_each(|key| list.push(key.as_ref()));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let keys: [&[u8]; 5] = [b"", b"a", b"ab", b"b", b"cc"];
        let list: KeyList = keys.into_iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), keys);
        for (at, key) in keys.into_iter().enumerate() {
            assert_eq!((list.get(at), list.find(key)), (Some(key), Some(at)));
        }
        let strange: [&[u8]; 4] = [b"A", b"aa", b"c", b"d"];
        assert!(strange.into_iter().all(|key| list.find(key).is_none()));
        assert!(KeyList::default().find(b"").is_none() && list.get(5).is_none());
    }

    #[test]
    fn a_clone_is_no_longer_shared_once_a_key_is_added() {
        let mut list: KeyList = [b"a"].into_iter().collect();
        let clone = list.clone();
        assert!(Arc::ptr_eq(&list.packed, &clone.packed));
        list.push(b"b");
        assert_eq!((list.len(), clone.len()), (2, 1));
    }
}
