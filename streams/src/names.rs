//! Names of sources and origins as small numbers, so that a change carries two bytes instead of a string.
//!
//! One interner per process, append-only; a sink translates its own ids at its boundary. It never forgets
//! a name: there are as many as regions, not as many as rows.

use std::sync::{Arc, RwLock};

/// A name known to one [`Names`]. Comparing ids says only whether they are the same name; the tie chain
/// compares the names themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(u16);

impl NameId {
    /// The number, for tables that are indexed by name.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The interner.
#[derive(Debug, Default)]
pub struct Names {
    known: RwLock<Vec<Arc<str>>>,
}

/// More distinct source and origin names than a pipeline can have (65,535): the input is not what it seems.
#[derive(Debug, thiserror::Error)]
#[error("more than 65,535 distinct source or origin names")]
pub struct TooManyNames;

impl Names {
    /// The id of `name`, given to it now where it is new.
    ///
    /// # Errors
    /// When 65,535 names are known already.
    pub fn intern(&self, name: &str) -> Result<NameId, TooManyNames> {
        if let Some(id) = position(&self.known.read().expect("no holder panics"), name) {
            return Ok(id);
        }
        let mut known = self.known.write().expect("no holder panics");
        if let Some(id) = position(&known, name) {
            return Ok(id);
        }
        let id = u16::try_from(known.len()).map_err(|_| TooManyNames)?;
        known.push(name.into());
        Ok(NameId(id))
    }

    /// The name behind an id of this interner.
    ///
    /// # Panics
    /// When the id is another interner's.
    #[must_use]
    pub fn get(&self, id: NameId) -> Arc<str> {
        Arc::clone(&self.known.read().expect("no holder panics")[id.index()])
    }
}

fn position(known: &[Arc<str>], name: &str) -> Option<NameId> {
    let at = known.iter().position(|k| &**k == name)?;
    u16::try_from(at).ok().map(NameId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id() {
        let names = Names::default();
        let east = names.intern("us-east").unwrap();
        let west = names.intern("us-west").unwrap();
        assert_ne!(east, west);
        assert_eq!(names.intern("us-east").unwrap(), east);
        assert_eq!(&*names.get(west), "us-west");
    }
}
