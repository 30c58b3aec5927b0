//! Private against plaintext top-1 on real test images, through the three processes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sotto::{
    config::Source,
    demo::{self, Demo, Summary},
    model::Model,
    stop::Stop,
    texts::TextArgs,
};
use sotto_models::{
    Model as Description,
    images::{Fit, Picture, load},
    private::Lengths,
};
use sotto_netsim::Network;

use crate::{error::Error, pictures, record::Records};

/// What to compare.
pub struct Agreement {
    /// At most so many images, the first of the file.
    pub images: usize,
    /// CIFAR-10's archive (its test split) or one of its `.bin` files; random pictures where there is none.
    pub data: Option<PathBuf>,
    /// Images in one evaluation.
    pub batch: usize,
    /// Where correlations come from: all images once with each.
    pub sources: Vec<Source>,
    /// `demo` or a model's folder.
    pub model: PathBuf,
}

impl Agreement {
    /// Runs the images, prints the results and adds `agreement_*` to `records`: the first source's, and how many classes of the others
    /// are the same.
    ///
    /// # Errors
    /// [`Error::Sotto`] when a process fails or a count is not the plan's; [`Error::Usage`] for images that have
    /// no CIFAR-10 record.
    pub fn run(&self, program: &Path, records: &mut Records) -> Result<(), Error> {
        let arch = Model::find(&self.model)?.arch;
        let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        let pictures = match &self.data {
            Some(data) => load(data, &arch, Fit::Exact, self.images)?,
            None => random(&arch, self.images, folder.path())?,
        };
        // The client classifies all of its file: it gets the first images alone.
        let file = folder.path().join("images.bin");
        fs::write(&file, to_records(&pictures)?).map_err(Error::io(&file))?;
        let network = Network::preset("loopback").map_err(sotto::Error::unusable)?;
        let mut first: Option<Summary> = None;
        for &source in &self.sources {
            let demo = Demo {
                source,
                lengths: Lengths::Public,
                model: self.model.clone(),
                images: vec![file.clone()],
                resize: false,
                texts: TextArgs::default(),
                limit: pictures.len(),
                batch: self.batch,
                network: network.clone(),
            };
            let summary = demo::run(&demo, program, &Stop::default())?;
            println!("correlations from: {}", source.name());
            print!("{}", text(&summary, self.batch, &|class| arch.label(class)));
            match &first {
                None => {
                    record(&summary, records);
                    first = Some(summary);
                }
                Some(first) => {
                    let same = same_classes(first, &summary);
                    println!("same class as the first         {same} of {}", first.images);
                    let name = |what| format!("agreement_{}_{what}", source.name());
                    records.add(name("same_class"), same as f64, "images");
                    records.add(name("max_error"), summary.max_logit_error, "logits");
                }
            }
        }
        Ok(())
    }
}

/// Of how many pictures two runs have the same class.
fn same_classes(a: &Summary, b: &Summary) -> usize {
    let same =
        |(a, b): &(&demo::Compared, &demo::Compared)| a.private.is_some() && a.private == b.private;
    a.compared().zip(b.compared()).filter(same).count()
}

/// Random pictures of class 0.
fn random(arch: &Description, count: usize, folder: &Path) -> Result<Vec<Picture>, Error> {
    let mut all = Vec::new();
    for file in pictures::write(arch.pixels().expect("a model of pictures"), count, folder)? {
        all.extend(load(&file, arch, Fit::Exact, 1)?);
    }
    all.iter_mut().for_each(|picture| picture.label = Some(0));
    Ok(all)
}

/// Pictures as CIFAR-10 records: the class, then the planes.
fn to_records(pictures: &[Picture]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for picture in pictures {
        let record = picture.label.filter(|_| picture.pixels.len() == 3_072);
        let label = record.ok_or_else(|| {
            Error::Usage(format!(
                "{}: --data needs CIFAR-10's archive or a .bin file",
                picture.name
            ))
        })?;
        bytes.push(label);
        bytes.extend(&picture.pixels);
    }
    Ok(bytes)
}

fn plaintext_correct(summary: &Summary) -> usize {
    let right = |r: &&demo::Compared| r.label.is_some_and(|l| Some(usize::from(l)) == r.plaintext);
    summary.compared().filter(right).count()
}

fn record(summary: &Summary, records: &mut Records) {
    let percent = |n: usize| 100.0 * n as f64 / summary.images.max(1) as f64;
    records.add("agreement_images", summary.images as f64, "images");
    records.add("agreement_top1", percent(summary.agree_plaintext), "%");
    records.add("agreement_simulator", percent(summary.agree_simulator), "%");
    records.add("agreement_private_accuracy", percent(summary.correct), "%");
    records.add("agreement_plaintext_accuracy", percent(plaintext_correct(summary)), "%");
    records.add("agreement_max_error", summary.max_logit_error, "logits");
    records.add("agreement_mean_error", summary.mean_logit_error, "logits");
    records.add("agreement_offline_s", summary.offline_s, "s");
    records.add("agreement_online_s", summary.online_s, "s");
}

fn text(summary: &Summary, batch: usize, label: &dyn Fn(usize) -> String) -> String {
    let n = summary.images;
    let percent = |k: usize| format!("{k} of {n} ({:.1} %)", 100.0 * k as f64 / n.max(1) as f64);
    let mut out = format!(
        "private top-1 = plaintext top-1   {}\n\
         private top-1 = simulator's       {}\n\
         right: private                    {}\n\
         right: plaintext                  {}\n\
         logit error                       {:.1e} at most, {:.1e} on average\n\
         seconds per image                 {:.3} offline, {:.3} online (evaluations of {batch}, the first included)\n",
        percent(summary.agree_plaintext),
        percent(summary.agree_simulator),
        percent(summary.correct),
        percent(plaintext_correct(summary)),
        summary.max_logit_error,
        summary.mean_logit_error,
        summary.offline_s,
        summary.online_s,
    );
    for r in summary.compared().filter(|r| r.private != r.plaintext) {
        let named = |class: Option<usize>| class.map_or_else(|| "-".to_owned(), label);
        let (private, plaintext) = (named(r.private), named(r.plaintext));
        out += &format!(
            "differs: {}: private {private}, plaintext {plaintext}, logit error {:.1e}\n",
            r.name, r.max_logit_error
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto::demo::Compared;
    use sotto_protocols::cost::Cost;

    fn compared(label: u8, private: usize, plaintext: usize) -> Compared {
        Compared {
            name: format!("image {label}"),
            label: Some(label),
            tokens: None,
            private: Some(private),
            plaintext: Some(plaintext),
            simulator: Some(private),
            like_plaintext: private == plaintext,
            like_simulator: true,
            simulator_gap: Some(0.0),
            cosine: 1.0,
            max_logit_error: 1e-3,
            mean_logit_error: 1e-4,
        }
    }

    fn summary() -> Summary {
        Summary {
            offline_flights: 0,
            network: "loopback".into(),
            paths: Vec::new(),
            plaintext: Vec::new(),
            batch: 1,
            images: 2,
            correct: 1,
            agree_plaintext: 1,
            agree_simulator: 2,
            min_cosine: 1.0,
            max_logit_error: 1e-3,
            mean_logit_error: 1e-4,
            setup_bytes: 1,
            offline_bytes: 2,
            online_bytes: 3,
            flights: 4,
            setup_s: 0.1,
            offline_s: 0.2,
            online_s: 0.3,
            total_s: 0.5,
            median_offline_s: 0.4,
            median_online_s: 0.1,
            median_total_s: 0.5,
            min_total_s: 0.5,
            planned: Cost {
                setup_bytes: 1,
                offline_bytes: 2,
                offline_flights: 0,
                online_bytes: 3,
                flights: 4,
            },
            lengths: Vec::new(),
            results: [compared(3, 3, 3), compared(5, 4, 5)].map(demo::Line::Done).into(),
        }
    }

    #[test]
    fn says_how_many_agree_and_which_do_not() {
        let text = text(&summary(), 4, &|class| format!("class {class}"));
        assert!(text.contains("plaintext top-1   1 of 2 (50.0 %)"), "{text}");
        assert!(text.contains("right: plaintext                  2 of 2"), "{text}");
        assert!(text.contains("differs: image 5: private class 4, plaintext class 5"), "{text}");
        assert!(!text.contains("image 3"), "those that agree are not listed");
        let mut records = Records::default();
        record(&summary(), &mut records);
        assert_eq!(records.get("agreement_top1"), Some(50.0));
        assert_eq!(records.get("agreement_plaintext_accuracy"), Some(100.0));
        let other = Summary {
            results: [compared(3, 3, 3), compared(5, 5, 5)].map(demo::Line::Done).into(),
            ..summary()
        };
        assert_eq!(
            (same_classes(&summary(), &summary()), same_classes(&summary(), &other)),
            (2, 1)
        );
    }

    #[test]
    fn records_are_those_that_the_client_reads() {
        let picture = |label| Picture { pixels: vec![7; 3_072], label, name: "p".into() };
        let bytes = to_records(&[picture(Some(4)), picture(Some(9))]).expect("two records");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("two.bin");
        fs::write(&file, bytes).expect("written");
        let arch = Model::demo().expect("embedded").arch;
        let read = load(&file, &arch, Fit::Exact, 9).expect("two records");
        assert_eq!(read.iter().map(|p| p.label).collect::<Vec<_>>(), [Some(4), Some(9)]);
        assert_eq!(read[1].pixels, vec![7; 3_072]);
        assert!(to_records(&[picture(None)]).is_err(), "a picture of unknown class");
    }
}
