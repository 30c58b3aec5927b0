//! Keys, their files and their names.

use super::*;

#[test]
fn an_identity_survives_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let made = Identity::generate("client").unwrap();
    made.save(dir.path()).unwrap();
    let read = Identity::load(dir.path(), "client").unwrap();
    assert_eq!(made.certificate(), read.certificate());
    assert_eq!(*made.key, *read.key);
    assert_eq!(made.certificate().fingerprint().len(), 64);
    assert!(made.save(dir.path()).is_err(), "never overwrites a key");
    let text = |file| fs::read_to_string(dir.path().join(file)).unwrap();
    let [certificate, key] = [text("client.cert"), text("client.key")];
    let told = Identity::from_pem("client", &certificate, &key).unwrap();
    assert_eq!((told.certificate(), &*told.key), (made.certificate(), &*made.key));
    let other = Identity::from_pem("client", &certificate, &certificate).unwrap_err();
    assert!(!other.to_string().contains("BEGIN"), "{other}");
}

#[test]
fn what_is_named_under_a_key_keeps_its_name_under_those_that_follow() {
    let [first, second, third, other] =
        std::array::from_fn(|_| Identity::generate("server").unwrap());
    let naming = first.naming();
    assert_eq!(naming, first.secret("model commitment"));
    assert_ne!(naming, other.naming());
    let third = third.after(&second.after(&first));
    assert_eq!(third.naming(), naming);
    let dir = tempfile::tempdir().unwrap();
    third.save(dir.path()).unwrap();
    let read = Identity::load(dir.path(), "server").unwrap();
    assert_eq!((read.naming(), &*read.key), (naming, &*third.key));

    // Of two blocks each in its place, and nothing behind.
    let text = fs::read_to_string(dir.path().join("server.key")).unwrap();
    let certificate = third.certificate().to_pem();
    let (key, rest) = text.split_at(text.find("-----BEGIN SOTTOVOCE").unwrap());
    for bad in [
        [rest, key].concat(),
        rest.into(),
        [key, key].concat(),
        [key, rest, rest].concat(),
        [key, &pem::encode(&pem::Pem::new(NAMING_TAG, vec![1; 31]))].concat(),
    ] {
        let error = Identity::from_pem("server", &certificate, &bad).err().unwrap().to_string();
        assert!(error.contains("none in PEM form"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn the_key_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    Identity::generate("client").unwrap().save(dir.path()).unwrap();
    let path = dir.path().join("client.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Identity::load(dir.path(), "client").unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    // A group reads what root gives it, and nothing else.
    for (owner, mode, others) in [
        (0, 0o440, false),
        (0, 0o640, false),
        (0, 0o660, true),
        (0, 0o444, true),
        (1000, 0o640, true),
    ] {
        assert_eq!(others_read(owner, mode), others, "{owner} {mode:o}");
    }
}

#[test]
fn nothing_shows_the_key() {
    let made = Identity::generate("client").unwrap();
    let text = format!("{made:?}");
    assert!(text.contains(&made.certificate().fingerprint()));
    assert!(text.len() < 100, "a name and a fingerprint, nothing more: {text}");
}

#[test]
fn bad_files_and_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Identity::load(dir.path(), "client"), Err(Error::Io { .. })));
    assert!(Identity::generate("../x").is_err());
    assert!(Identity::generate("").is_err());
    let made = Identity::generate("client").unwrap();
    let key = pem::encode(&pem::Pem::new(KEY_TAG, made.key.to_vec()));
    assert!(Certificate::from_pem(&key).is_err());
    assert!(
        Certificate::from_pem(&pem::encode(&pem::Pem::new(CERTIFICATE_TAG, vec![0x30, 0])))
            .is_err()
    );
    assert_eq!(&Certificate::from_pem(&made.certificate().to_pem()).unwrap(), made.certificate());
}
