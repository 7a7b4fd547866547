//! Signatures of plugins: minisign's, checked against the keys that the pipeline file trusts. Where it trusts none,
//! none is asked for.

use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};

/// The signature that stands beside a file: `plugin.wasm.minisig`, as minisign writes it.
pub(super) fn of_file(file: &Path) -> Option<String> {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    std::fs::read_to_string(PathBuf::from(name)).ok()
}

/// What the signature of an artifact is called in the store.
pub(super) fn name(sha256: &str) -> String {
    format!("{sha256}.minisig")
}

/// Whether one of the keys has signed these bytes. No keys: everything is taken.
///
/// # Errors
/// Why not, for a person.
pub(super) fn check(keys: &[String], bytes: &[u8], signature: Option<&str>) -> Result<(), String> {
    if keys.is_empty() {
        return Ok(());
    }
    let signature = signature.ok_or("it is not signed, and [reload] trusted_keys asks for a signature")?;
    let signature =
        Signature::decode(signature).map_err(|cause| format!("its signature is no minisign one: {cause}"))?;
    for key in keys {
        let key = PublicKey::from_base64(key)
            .map_err(|cause| format!("a key in [reload] trusted_keys: {cause}"))?;
        if key.verify(bytes, &signature, false).is_ok() {
            return Ok(());
        }
    }
    Err("no key in [reload] trusted_keys has signed it".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    #[test]
    fn only_what_a_trusted_key_has_signed_is_taken() {
        let (ours, theirs) = (
            KeyPair::generate_unencrypted_keypair().unwrap(),
            KeyPair::generate_unencrypted_keypair().unwrap(),
        );
        let sign = |pair: &KeyPair| {
            minisign::sign(Some(&pair.pk), &pair.sk, Cursor::new(b"wasm"), None, None).unwrap().into_string()
        };
        let keys = vec![theirs.pk.to_base64(), ours.pk.to_base64()];
        assert_eq!(check(&keys, b"wasm", Some(&sign(&ours))), Ok(()));
        assert_eq!(check(&[], b"wasm", None), Ok(()));
        let refused = |keys: &[String], bytes: &[u8], signature: Option<&str>| {
            check(keys, bytes, signature).unwrap_err()
        };
        assert!(refused(&keys, b"wasn", Some(&sign(&ours))).contains("no key"));
        assert!(refused(&keys[..1], b"wasm", Some(&sign(&ours))).contains("no key"));
        assert!(refused(&keys, b"wasm", None).contains("not signed"));
        assert!(refused(&keys, b"wasm", Some("x")).contains("no minisign one"));
        assert!(refused(&["x".to_owned()], b"wasm", Some(&sign(&ours))).contains("trusted_keys"));
    }
}
