//! `sotto keygen` and `sotto fingerprint`: a party's key, and the certificates that it gives and gets.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use sotto_net::{Certificate, Identity};

use crate::{error::Error, print};

/// What `sotto keygen` is told.
#[derive(Args)]
pub struct Keygen {
    /// The party's name, as its peers' configurations will have it.
    name: String,
    /// Where to write them.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// The folder of the key that this one follows: a server's models keep their hashes, and runs go on.
    #[arg(long)]
    after: Option<PathBuf>,
    /// The files and the fingerprint as JSON.
    #[arg(long)]
    json: bool,
}

/// The JSON object.
#[derive(Serialize)]
struct Made {
    key: String,
    certificate: String,
    fingerprint: String,
}

impl Keygen {
    /// Makes the key and prints where it is.
    ///
    /// # Errors
    /// [`Error::Net`] where the files are there already or cannot be written.
    pub fn run(&self) -> Result<(), Error> {
        let Self { name, out, after, json } = self;
        let before = after.as_ref().map(|folder| Identity::load(folder, name)).transpose()?;
        fs::create_dir_all(out).map_err(Error::io(out))?;
        let identity = Identity::generate(name)?;
        let identity = match before {
            Some(before) => identity.after(&before),
            None => identity,
        };
        identity.save(out)?;
        let file = |ending: &str| out.join(format!("{name}.{ending}")).display().to_string();
        let fingerprint = identity.certificate().fingerprint();
        let made = Made { key: file("key"), certificate: file("cert"), fingerprint };
        if *json {
            return print::json(&made);
        }
        let Made { key, certificate, fingerprint } = made;
        let lines = [key, certificate, format!("fingerprint {fingerprint}")];
        lines.into_iter().try_for_each(print::line)
    }
}

/// What `sotto fingerprint` is told.
#[derive(Args)]
pub struct Fingerprint {
    /// Certificates that were received, as `sotto keygen` wrote them.
    #[arg(required = true)]
    certificates: Vec<PathBuf>,
    /// An object of fingerprints by file.
    #[arg(long)]
    json: bool,
}

impl Fingerprint {
    /// Prints the fingerprints.
    ///
    /// # Errors
    /// [`Error::Net`] for a file that holds no certificate.
    pub fn run(&self) -> Result<(), Error> {
        let all = self.certificates.iter().map(|path| {
            let certificate = Certificate::load(path)?;
            Ok((path.as_path(), certificate.fingerprint()))
        });
        let all: Vec<(&Path, String)> = all.collect::<Result<_, Error>>()?;
        match (self.json, &all[..]) {
            (true, all) => {
                let named = all.iter().map(|(path, one)| (path.display().to_string(), one));
                print::json(&named.collect::<BTreeMap<_, _>>())
            }
            (false, [(_, one)]) => print::line(one),
            (false, all) => all
                .iter()
                .try_for_each(|(path, one)| print::line(format!("{one}  {}", path.display()))),
        }
    }
}
