//! Fuzz targets of the server's own files; `fuzz/README.md` has the commands.

use std::{fs, panic::AssertUnwindSafe, sync::Arc};

use zeroize::Zeroizing;

use sotto_session::folder::Folder;

use super::{
    store::Store,
    usage::{Tariff, Usage},
};
use crate::{config::ServedClient, dealer_link::Names};

/// Changes of a file: at each place, another byte; then the file's end.
type Changes = (Vec<(u16, u8)>, Option<u16>);

fn changed(valid: &[u8], (changes, end): &Changes) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for (at, byte) in changes {
        let at = usize::from(*at) % bytes.len();
        bytes[at] = *byte;
    }
    if let Some(end) = end {
        bytes.truncate(usize::from(*end) % (bytes.len() + 1));
    }
    bytes
}

/// Whatever lies in the folder: nothing but the batch that was put there is taken out of it.
#[test]
fn pool_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = Arc::new(Folder::open(&dir.path().join("pool"), "server").expect("a new folder"));
    let store = Store::new(folder, &[1; 16], &[2; 32]);
    let (ticket, tag, peer) = (Zeroizing::new([7; 16]), [3; 16], [4; 32]);
    let names = Names { id: 6, ticket, tag, peer, corrections: 0 };
    store.put(&names, &[9; 50]).expect("a file");
    let found = fs::read_dir(dir.path().join("pool")).expect("a folder").flatten();
    let mut paths = found.map(|entry| entry.path());
    let path = paths.find(|path| path.extension().is_some_and(|e| e == "batch")).expect("a file");
    let valid = fs::read(&path).expect("a file");
    let store = AssertUnwindSafe(&store);
    bolero::check!().with_type::<Changes>().for_each(|changes: &Changes| {
        let AssertUnwindSafe(store) = &store;
        let bytes = changed(&valid, changes);
        fs::write(&path, &bytes).expect("a file");
        let recovered = store.recover().expect("a folder");
        assert!(recovered.len() <= 1 && recovered.iter().all(|names| names.id == 6));
        if let Ok(corrections) = store.take(6) {
            assert!(bytes == valid && corrections == [9; 50]);
        }
        assert!(!path.exists(), "used or burnt");
    });
}

/// A usage file gives counts or an error.
#[test]
fn usage_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("usage.json");
    let clients = [ServedClient {
        name: "client".into(),
        certificate: crate::config::Certificates::One("client.cert".into()),
        models: None,
        quota: Some(10),
        rate: Some(6),
    }];
    let valid: [&[u8]; 3] = [
        br#"{ "server": "s", "clients": { "client": { "images": 7, "bits": 18446744073709551615 } } }"#,
        br#"{ "server": "", "clients": { "client": { "images": 18446744073709551615, "bits": 1 } } }"#,
        br#"{ "server": "s", "clients": { "client": { "images": 2, "bits": 9, "models": { "model": { "images": 2, "bits": 9 } } } } }"#,
    ];
    let one = Tariff { model: "model", images: 1 };
    bolero::check!().with_type::<(u8, Changes)>().for_each(|(which, changes)| {
        fs::write(&path, changed(valid[usize::from(*which) % 3], changes)).expect("a file");
        let Ok(usage) = Usage::open(&clients, "s", Some(path.clone())) else { return };
        if usage.admit("client", one).is_ok() {
            assert!(usage.charge("client", one, 180).is_ok_and(|used| used.images <= 10));
        }
    });
}
