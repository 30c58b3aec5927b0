//! The tables of what the demo found.

use sotto_models::Model;

use super::{Compared, Summary};
use crate::{
    client::label,
    emulate,
    error::Error,
    print,
    report::{bytes, table},
};

impl Summary {
    /// Prints the table and the four cost lines.
    ///
    /// # Errors
    /// Those of [`print::line`].
    pub fn print(&self, model: &Model) -> Result<(), Error> {
        let named = |class: Option<usize>| class.map_or("?".into(), |class| label(model, class));
        match self.lengths.is_empty() {
            true => {
                let header =
                    ["image", "true class", "private", "plaintext", "simulator", "max logit error"];
                let mut t = table(&header, 5);
                for r in self.compared() {
                    t.add_row(vec![
                        r.name.clone(),
                        named(r.label.map(usize::from)),
                        told(r, named(r.private)),
                        told(r, named(r.plaintext)),
                        told(r, named(r.simulator)),
                        format!("{:.1e}", r.max_logit_error),
                    ]);
                }
                print::line(t)?;
            }
            false => {
                let header = ["text", "tokens", "private", "plaintext", "cosine", "largest error"];
                let mut t = table(&header, 4);
                for r in self.compared() {
                    t.add_row(vec![
                        r.name.clone(),
                        r.tokens.unwrap_or_default().to_string(),
                        told(r, named(r.private)),
                        told(r, named(r.plaintext)),
                        format!("{:.6}", r.cosine),
                        format!("{:.1e}", r.max_logit_error),
                    ]);
                }
                print::line(t)?;
            }
        }
        self.unread().try_for_each(|r| print::line(format!("{}: {}", r.name, r.error)))?;
        let (n, like) = (self.images, [self.agree_plaintext, self.agree_simulator]);
        print::line(match self.lengths.is_empty() {
            true => format!(
                "{n} images, {} correct; private = plaintext on {}, = simulator on {}; largest logit error {:.1e}\n",
                self.correct, like[0], like[1], self.max_logit_error
            ),
            false => format!(
                "{n} texts; private = plaintext on {}, = simulator on {}; cosine at least {:.6}, largest error {:.1e}\n",
                like[0], like[1], self.min_cosine, self.max_logit_error
            ),
        })?;
        print::line(format!("network: {}", self.network))?;
        if !self.paths.is_empty() {
            print::line(emulate::summary(&self.paths).replace(" | ", "\n"))?;
        }
        if !self.lengths.is_empty() {
            return self.print_lengths();
        }
        let p = &self.planned;
        let mut t = table(&["cost", "measured", "planned", "flights", "planned ", "seconds"], 1);
        let s = |x: f64| format!("{x:.3}");
        let flights = |n: u64| if n == 0 { String::new() } else { n.to_string() };
        t.add_row(vec![
            "model setup, once".into(),
            bytes(self.setup_bytes),
            bytes(p.setup_bytes),
            String::new(),
            String::new(),
            s(self.setup_s),
        ]);
        t.add_row(vec![
            "offline, per image".into(),
            bytes(self.offline_bytes),
            bytes(p.offline_bytes / self.batch),
            flights(self.offline_flights),
            flights(p.offline_flights),
            s(self.offline_s),
        ]);
        t.add_row(vec![
            "online, per image".into(),
            bytes(self.online_bytes),
            bytes(p.online_bytes / self.batch),
            self.flights.to_string(),
            p.flights.to_string(),
            s(self.online_s),
        ]);
        t.add_row(vec![
            "total, per image".into(),
            bytes(self.offline_bytes + self.online_bytes),
            bytes((p.offline_bytes + p.online_bytes) / self.batch),
            flights(self.offline_flights + self.flights),
            flights(p.offline_flights + p.flights),
            s(self.total_s),
        ]);
        print::line(t)?;
        self.plaintext.iter().try_for_each(|plaintext| print::line(plaintext.line()))
    }

    /// What texts cost: their lengths, which the server learns, decide.
    fn print_lengths(&self) -> Result<(), Error> {
        let header = [
            "tokens",
            "texts",
            "setup",
            "offline",
            "online",
            "flights",
            "offline s",
            "online s",
            "total s",
        ];
        let mut t = table(&header, 0);
        for l in &self.lengths {
            t.add_row(vec![
                l.tokens.to_string(),
                l.texts.to_string(),
                bytes(l.setup_bytes),
                bytes(l.offline_bytes),
                bytes(l.online_bytes),
                l.flights.to_string(),
                format!("{:.3}", l.offline_s),
                format!("{:.3}", l.online_s),
                format!("{:.3}", l.offline_s + l.online_s),
            ]);
        }
        print::line(t)?;
        print::line(
            "measured = planned in every evaluation; bytes and seconds are per text, setup once before those of a length",
        )
    }
}

/// A result's class; what has no one class is told apart.
fn told(r: &Compared, class: String) -> String {
    if r.private.is_some() { class } else { "-".into() }
}
