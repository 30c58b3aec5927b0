//! Whom an endpoint knows: the parties that it may dial, and those whose connections it takes.
//!
//! One party, one name, one key: somebody who held a key under two names would play two parties.

use crate::identity::check_name;
use crate::{Certificate, Error, Identity};

/// A party's name and its pinned certificate.
type Peer = (String, Certificate);

/// The two lists of one endpoint.
pub(crate) struct Peers {
    dial: Vec<Peer>,
    accept: Vec<Peer>,
}

impl Peers {
    /// Checks the lists of the party `us`; a peer may be on both.
    ///
    /// # Errors
    /// [`Error::Config`] for a malformed name, one name with two certificates, and one certificate
    /// or key under two names, ours included.
    pub fn new(us: &Identity, dial: &[Peer], accept: &[Peer]) -> Result<Self, Error> {
        let mut known = vec![(us.name(), us.certificate(), us.certificate().public_key()?)];
        for (name, certificate) in dial.iter().chain(accept) {
            check_name(name)?;
            let key = certificate.public_key()?;
            for (i, (other, its, its_key)) in known.iter().enumerate() {
                let same = match (name == other, certificate == *its, key == *its_key) {
                    (false, false, false) => continue,
                    // One of the others may be on both lists.
                    (true, true, _) if i > 0 => continue,
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
        Ok(Peers { dial: dial.to_vec(), accept: accept.to_vec() })
    }

    /// The certificate that `name` must show when we dial it.
    pub fn to_dial(&self, name: &str) -> Option<&Certificate> {
        self.dial.iter().find(|(peer, _)| peer == name).map(|(_, certificate)| certificate)
    }

    /// The certificates whose connections are taken.
    pub fn accepted(&self) -> Vec<Certificate> {
        self.accept.iter().map(|(_, certificate)| certificate.clone()).collect()
    }

    /// Which accepted party shows `certificate`.
    pub fn named(&self, certificate: &[u8]) -> Option<&str> {
        let shown = self.accept.iter().find(|(_, pin)| pin.der().as_ref() == certificate);
        shown.map(|(name, _)| name.as_str())
    }
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
        assert_eq!(peers.to_dial("a"), Some(&a.1));
        assert_eq!(peers.to_dial("b"), Some(&b.1));
        assert_eq!(peers.to_dial("c"), None);
        assert_eq!(peers.named(a.1.der()), None);
        assert_eq!(peers.named(b.1.der()), Some("b"));
        assert_eq!(peers.accepted(), [b.1, c.1]);
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
            (vec![peer("a", a)], vec![peer("a", &again)], ["`a`", "`a`", "the same key"]),
            (vec![peer("a", a)], vec![peer("a", b)], ["`a`", "`a`", "the same name"]),
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
