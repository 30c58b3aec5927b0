//! Fuzz targets of everything that a peer sends; `fuzz/README.md` has the commands.

use std::sync::LazyLock;

use sotto_crypto::Seed;

use crate::{Layer, PublicKeys, SecretKey, testing::keys};

/// Changes of a valid message: where (from both ends), to what, and how much is cut off or added.
type Changes = (Vec<(u32, bool, u8)>, i16);

fn changed(valid: &[u8], (changes, cut): &Changes) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for &(at, from_end, value) in changes {
        let at = at as usize % bytes.len();
        let at = if from_end { bytes.len() - 1 - at } else { at };
        bytes[at] = value;
    }
    // Mostly of the right length.
    if cut % 4 == 0 {
        bytes.resize(bytes.len().saturating_add_signed(isize::from(*cut)), 0xff);
    }
    bytes
}

/// A small layer with both parties' messages.
struct Small {
    layer: Layer,
    key: SecretKey,
    public: PublicKeys,
    published: Vec<u8>,
    setup: Vec<u8>,
    answer: Vec<u8>,
}

static SMALL: LazyLock<Small> = LazyLock::new(|| {
    let (layer, (key, public)) = (Layer::new(2, 5, 3, 40), keys(1));
    let seed = Seed::from_bytes([2; 32]);
    let setup: Vec<u8> =
        layer.encrypt(&key, &seed, |_, w: &mut [u64]| w.fill(7)).flatten().collect();
    let ciphers = layer.read(&setup).expect("our own");
    let answer = layer.evaluate(&ciphers, &public, &seed, &[9; 10]).message;
    let published = key.publish();
    Small { layer, key, public, published, setup, answer }
});

#[test]
fn public_keys() {
    bolero::check!().with_type::<Changes>().for_each(|changes| {
        let bytes = changed(&SMALL.published, changes);
        let read = PublicKeys::read(&bytes);
        assert!(read.is_err() || bytes.len() == SMALL.published.len());
    });
}

#[test]
fn ciphertexts() {
    bolero::check!().with_type::<Changes>().for_each(|changes| {
        let Small { layer, public, setup, answer, .. } = &*SMALL;
        let bytes = changed(setup, changes);
        if let Ok(ciphers) = layer.read(&bytes) {
            assert_eq!(bytes.len(), setup.len());
            // Whatever they hold, the answer is of the same length.
            let made = layer.evaluate(&ciphers, public, &Seed::from_bytes([3; 32]), &[9; 10]);
            assert_eq!(made.message.len(), answer.len());
        }
    });
}

#[test]
fn answers() {
    bolero::check!().with_type::<Changes>().for_each(|changes| {
        let Small { layer, key, answer, .. } = &*SMALL;
        let bytes = changed(answer, changes);
        let read = layer.receive(key, &bytes);
        assert_eq!(read.is_ok(), bytes.len() == answer.len());
        let small = |share: Vec<u64>| share.len() == 6 && share.iter().all(|x| x >> 40 == 0);
        assert!(read.is_err() || read.is_ok_and(small));
    });
}
