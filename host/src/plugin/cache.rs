//! Compiled plugins kept on disk, so that a start does not compile again. Machine code that is read back is run
//! with the rights of this process: so the folder and each file must be ours alone, and each file must hold what
//! we once wrote. Whatever is in doubt is compiled again; a cache never fails a start.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use wasmtime::{Engine, component::Component};

use super::digest::Digest;

/// Begins every file; another layout of files gets another word.
const MAGIC: &[u8; 8] = b"RCVCODE1";
/// Compiled plugins that are kept; the oldest go first. A plugin of Python has 37 MB.
const FILES_MAX: usize = 32;

/// A folder of compiled plugins, or none.
#[derive(Clone, Debug)]
pub struct CompileCache(Option<PathBuf>);

impl CompileCache {
    /// No cache: every start compiles.
    #[must_use]
    pub fn off() -> Self {
        CompileCache(None)
    }

    /// In this folder, which is made where it is missing and must belong to this user alone (mode 0700).
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        CompileCache(Some(folder.into()))
    }

    /// In `$XDG_CACHE_HOME/reconverge`, else `~/.cache/reconverge`; off where neither is known.
    #[must_use]
    pub fn of_user() -> Self {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        CompileCache(caches.map(|caches| caches.join("reconverge")))
    }

    /// The compiled component of these bytes, from the cache or made now and kept.
    ///
    /// # Errors
    /// wasmtime's, where the component does not compile.
    pub(super) fn compile(&self, engine: &Engine, component: &[u8]) -> wasmtime::Result<Component> {
        let Some(folder) = &self.0 else { return Component::new(engine, component) };
        let file = folder.join(file_name(engine, component));
        match secure(folder).and_then(|owner| Ok((owner, read(&file, owner)?))) {
            Ok((_, Some(code))) => {
                // SAFETY: `deserialize` runs whatever machine code it is given. These bytes lie in memory, so
                // that nobody changes them now; they come from a file that only this user can write, in a folder
                // that only this user can enter, and equal the digest that we wrote beside them. wasmtime itself
                // compares its version and the engine's settings.
                match unsafe { Component::deserialize(engine, &code) } {
                    Ok(compiled) => return Ok(compiled),
                    Err(cause) => doubt(&file, &format!("{cause:#}")),
                }
            }
            Ok((_, None)) => {}
            Err(cause) => {
                doubt(folder, &cause.to_string());
                return Component::new(engine, component);
            }
        }
        let compiled = Component::new(engine, component)?;
        if let Err(cause) = keep(folder, &file, &compiled.serialize()?) {
            doubt(&file, &cause.to_string());
        }
        Ok(compiled)
    }
}

fn doubt(path: &Path, cause: &str) {
    tracing::warn!(path = %path.display(), error = cause, "plugin cache not used");
}

/// The component's bytes, the version and the settings of the engine: whatever the code depends on.
fn file_name(engine: &Engine, component: &[u8]) -> String {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    format!("{}-{:016x}.code", Digest::of(component), settings.finish())
}

/// Makes the folder where it is missing, and says who we are. An error where others can reach into it.
fn secure(folder: &Path) -> io::Result<u32> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let facts = fs::symlink_metadata(folder)?;
    if !facts.is_dir() || facts.mode() & 0o077 != 0 {
        return Err(io::Error::other("the folder is open to others; its mode must be 0700"));
    }
    // A file that we make tells our user, without asking the system for it.
    let (probe, _) = make(folder, "probe")?;
    let owner = fs::symlink_metadata(&probe)?.uid();
    fs::remove_file(&probe)?;
    if owner != facts.uid() {
        return Err(io::Error::other("the folder belongs to another user"));
    }
    Ok(owner)
}

/// A new file that only we can write.
fn make(folder: &Path, word: &str) -> io::Result<(PathBuf, File)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let path = folder.join(format!(".{word}-{}-{now}-{:?}", std::process::id(), std::thread::current().id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, file))
}

/// The code in a file; `None` where there is none, or none that we wrote.
fn read(path: &Path, owner: u32) -> io::Result<Option<Vec<u8>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let facts = file.metadata()?;
    let is_ours = facts.is_file() && facts.uid() == owner && facts.mode() & 0o077 == 0;
    let mut bytes = Vec::new();
    if is_ours {
        file.read_to_end(&mut bytes)?;
    }
    let code = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<32>());
    let sound = code.filter(|(digest, code)| Digest::of(code).0 == **digest);
    if sound.is_none() {
        doubt(path, "not as it was written");
        fs::remove_file(path)?;
    }
    Ok(sound.map(|(_, code)| code.to_vec()))
}

/// Writes a file whole or not at all, and lets the oldest go.
fn keep(folder: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
    let (new, mut file) = make(folder, "new")?;
    let written = file
        .write_all(MAGIC)
        .and_then(|()| file.write_all(&Digest::of(code).0))
        .and_then(|()| file.write_all(code))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        fs::remove_file(&new)?;
    }
    written?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "code") {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    for (_, old) in files.iter().rev().skip(FILES_MAX) {
        fs::remove_file(old)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// A folder with one compiled component, and its file.
    fn filled() -> (tempfile::TempDir, CompileCache, Engine, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let cache = CompileCache::at(place.path().join("inner/cache"));
        let engine = Engine::default();
        cache.compile(&engine, EMPTY).unwrap();
        let kept = files(&place.path().join("inner/cache"));
        assert_eq!(kept.len(), 1, "one file, and no probe left");
        (place, cache, engine, kept[0].clone())
    }

    #[test]
    fn what_was_compiled_is_read_back() {
        let (_place, cache, engine, file) = filled();
        let facts = fs::metadata(&file).unwrap();
        assert_eq!(
            (facts.mode() & 0o777, facts.uid()),
            (0o600, fs::metadata(file.parent().unwrap()).unwrap().uid())
        );
        let before = facts.modified().unwrap();
        cache.compile(&engine, EMPTY).unwrap();
        assert!(read(&file, facts.uid()).unwrap().is_some());
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before, "read, not written again");
    }

    #[test]
    fn a_file_that_was_changed_or_opened_to_others_is_not_run() {
        let (_place, cache, engine, file) = filled();
        let owner = fs::metadata(&file).unwrap().uid();
        let sound = fs::read(&file).unwrap();
        let mut changed = sound.clone();
        *changed.last_mut().unwrap() ^= 1;
        for bytes in [changed, sound[..50].to_vec(), b"x".to_vec()] {
            fs::write(&file, bytes).unwrap();
            assert!(read(&file, owner).unwrap().is_none());
            assert!(!file.exists(), "it is gone");
            cache.compile(&engine, EMPTY).unwrap();
            assert_eq!(fs::read(&file).unwrap(), sound, "and made again");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&file, owner).unwrap().is_none());
        cache.compile(&engine, EMPTY).unwrap();
        assert!(read(&file, owner + 1).unwrap().is_none(), "another user's");
    }

    #[test]
    fn a_folder_that_others_can_reach_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let cache = CompileCache::at(place.path());
        cache.compile(&Engine::default(), EMPTY).unwrap();
        assert!(files(place.path()).is_empty());
    }

    #[test]
    fn the_oldest_files_go() {
        let (_place, cache, engine, file) = filled();
        let folder = file.parent().unwrap();
        for k in 0..FILES_MAX + 3 {
            fs::write(folder.join(format!("{k}.code")), "x").unwrap();
        }
        fs::remove_file(&file).unwrap();
        cache.compile(&engine, EMPTY).unwrap();
        assert_eq!(files(folder).len(), FILES_MAX);
        assert!(file.exists(), "the newest stays");
    }
}
