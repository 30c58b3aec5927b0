//! Whom an endpoint knows: the parties that it may dial, and those whose connections it takes.
//!
//! One party, one name: somebody who held a key under two names would play two parties. A name may have two certificates
//! while its party changes its key.

use std::sync::{Arc, PoisonError, RwLock};

use crate::identity::check_name;
use crate::{Certificate, Error, Identity};

/// A party's name and a certificate that is pinned for it.
type Peer = (String, Certificate);

/// Certificates of one name: the one in use, and the one that comes or goes.
const MOST: usize = 2;

/// The two lists of one endpoint.
#[derive(Debug)]
struct Lists {
    dial: Vec<Peer>,
    accept: Vec<Peer>,
}

/// The two lists of one endpoint, which may be changed while it is in use.
#[derive(Debug)]
pub(crate) struct Peers(RwLock<Arc<Lists>>);

impl Peers {
    /// The lists of the party `us`; a peer may be on both.
    ///
    /// # Errors
    /// [`Error::Config`] for a malformed name, one name with more than two certificates on a list, and one certificate or key
    /// under two names, ours included.
    pub fn new(us: &Identity, dial: &[Peer], accept: &[Peer]) -> Result<Self, Error> {
        Ok(Peers(RwLock::new(Arc::new(checked(us, dial, accept)?))))
    }

    /// Takes other lists from now on.
    ///
    /// # Errors
    /// As [`Peers::new`]; then nothing is changed.
    pub fn replace(&self, us: &Identity, dial: &[Peer], accept: &[Peer]) -> Result<(), Error> {
        let lists = Arc::new(checked(us, dial, accept)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = lists;
        Ok(())
    }

    fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificates of which `name` must show one when we dial it; none of somebody whom we may not dial.
    pub fn to_dial(&self, name: &str) -> Vec<Certificate> {
        let lists = self.lists();
        let pinned = lists.dial.iter().filter(|(peer, _)| peer == name);
        pinned.map(|(_, certificate)| certificate.clone()).collect()
    }

    /// Which accepted party shows `certificate`.
    pub fn named(&self, certificate: &[u8]) -> Option<String> {
        let lists = self.lists();
        let shown = lists.accept.iter().find(|(_, pin)| pin.der().as_ref() == certificate);
        shown.map(|(name, _)| name.clone())
    }
}

fn checked(us: &Identity, dial: &[Peer], accept: &[Peer]) -> Result<Lists, Error> {
    let mut known = vec![(us.name(), us.certificate(), us.certificate().public_key()?)];
    for (name, certificate) in dial.iter().chain(accept) {
        check_name(name)?;
        let key = certificate.public_key()?;
        for (i, (other, its, its_key)) in known.iter().enumerate() {
            let same = match (name == other, certificate == *its, key == *its_key) {
                (false, false, false) => continue,
                // One of the others may be on both lists, and change its key.
                (true, ..) if i > 0 => continue,
                (_, true, _) => "the same certificate",
                (_, _, true) => "the same key in two certificates",
                _ => "the same name and two certificates",
            };
            return Err(Error::Config(format!(
                "`{other}` and `{name}` have {same}; give each party its own name and key"
            )));
        }
        known.push((name, certificate, key));
    }
    for list in [dial, accept] {
        let of = |name: &str| list.iter().filter(|(other, _)| other == name).count();
        if let Some((name, _)) = list.iter().find(|(name, _)| of(name) > MOST) {
            return Err(Error::Config(format!(
                "`{name}` has {} certificates; {MOST} are accepted, while it changes its key",
                of(name)
            )));
        }
    }
    Ok(Lists { dial: dial.to_vec(), accept: accept.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, certificate: &Certificate) -> Peer {
        (name.to_owned(), certificate.clone())
    }

    fn refusal(us: &Identity, dial: &[Peer], accept: &[Peer]) -> String {
        match Peers::new(us, dial, accept) {
            Err(Error::Config(why)) => why,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("the lists were taken"),
        }
    }

    #[test]
    fn each_list_serves_its_own_side() {
        let [us, a, b, c] = ["us", "a", "b", "c"].map(|name| Identity::generate(name).unwrap());
        let [a, b, c] = [&a, &b, &c].map(|one| peer(one.name(), one.certificate()));
        let peers = Peers::new(&us, &[a.clone(), b.clone()], &[b.clone(), c.clone()]).unwrap();
        assert_eq!(peers.to_dial("a"), std::slice::from_ref(&a.1));
        assert_eq!(peers.to_dial("b"), std::slice::from_ref(&b.1));
        assert_eq!(peers.to_dial("c"), []);
        assert_eq!(peers.named(a.1.der()), None);
        assert_eq!(peers.named(b.1.der()).as_deref(), Some("b"));
        assert_eq!(peers.named(c.1.der()).as_deref(), Some("c"));
        // Others, and those that nobody takes change nothing.
        assert!(peers.replace(&us, &[], &[peer("us", &c.1)]).is_err());
        assert_eq!(peers.named(c.1.der()).as_deref(), Some("c"));
        peers.replace(&us, &[], std::slice::from_ref(&a)).unwrap();
        assert_eq!((peers.named(a.1.der()).as_deref(), peers.named(b.1.der())), (Some("a"), None));
        assert_eq!(peers.to_dial("a"), []);
    }

    #[test]
    fn a_party_that_changes_its_key_has_two_certificates() {
        let [us, old, new, third] =
            ["us", "a", "a", "a"].map(|name| Identity::generate(name).unwrap());
        let pins = [&old, &new, &third].map(|one| peer("a", one.certificate()));
        let peers = Peers::new(&us, &pins[..2], &pins[..2]).unwrap();
        assert_eq!(peers.to_dial("a").len(), 2);
        for (_, pin) in &pins[..2] {
            assert_eq!(peers.named(pin.der()).as_deref(), Some("a"));
        }
        assert_eq!(peers.named(pins[2].1.der()), None);
        assert!(refusal(&us, &pins, &[]).contains("3 certificates"));
        assert!(refusal(&us, &[], &pins).contains("3 certificates"));
    }

    #[test]
    fn one_party_has_one_name_and_one_key() {
        let [us, a, b] = ["us", "a", "b"].map(|name| Identity::generate(name).unwrap());
        let (again, ours) = (a.renewed("a2").unwrap(), us.renewed("us2").unwrap());
        let (a, b, us_cert) = (a.certificate(), b.certificate(), us.certificate());
        let cases = [
            (vec![peer("a", a), peer("z", a)], vec![], ["`a`", "`z`", "the same certificate"]),
            (vec![peer("a", a)], vec![peer("z", a)], ["`a`", "`z`", "the same certificate"]),
            (vec![peer("a", a)], vec![peer("z", &again)], ["`a`", "`z`", "the same key"]),
            (vec![peer("a", a)], vec![peer("z", &again)], ["`a`", "`z`", "the same key"]),
            (vec![peer("a", a)], vec![peer("a", b), peer("z", b)], ["`a`", "`z`", "the same cert"]),
            (vec![peer("a", us_cert)], vec![], ["`us`", "`a`", "the same certificate"]),
            (vec![peer("us", us_cert)], vec![], ["`us`", "`us`", "the same certificate"]),
            (vec![], vec![peer("a", &ours)], ["`us`", "`a`", "the same key"]),
            (vec![peer("us", a)], vec![], ["`us`", "`us`", "the same name"]),
        ];
        for (dial, accept, words) in cases {
            let why = refusal(&us, &dial, &accept);
            assert!(words.iter().all(|word| why.contains(word)), "{words:?}: {why}");
        }
    }

    #[test]
    fn names_of_peers_are_checked() {
        let [us, a] = ["us", "a"].map(|name| Identity::generate(name).unwrap());
        for name in ["", "../x", "/x", "a b", "a\nb", &"x".repeat(65)] {
            let bad = [peer(name, a.certificate())];
            assert!(refusal(&us, &bad, &[]).contains("name"));
            assert!(refusal(&us, &[], &bad).contains("name"));
        }
    }
}
