//! Cards: client and dealer trace what a server says, under any options.

use std::panic::AssertUnwindSafe;

use bolero::TypeGenerator;
use sotto::card::Card;
use sotto_models::{
    Arch,
    arch::Attention,
    format::MaxKind,
    length::Length,
    private::{Lengths, Options, Reveal, Tables},
};

use super::{
    input::{Input, timed},
    models::SMALL,
};

/// A card of two texts and its choices.
#[derive(Clone, Debug, TypeGenerator)]
struct Said {
    arch: Input,
    calibration: Input,
    #[generator(0usize..70)]
    batch: usize,
    rows: Option<u16>,
    public_max: bool,
    row_tables: bool,
    reveal: u8,
    hidden: bool,
}

impl Said {
    fn options(&self) -> Options {
        Options {
            max: if self.public_max { MaxKind::Public } else { MaxKind::Coarse },
            reveal: [Reveal::Logits, Reveal::Rounded, Reveal::Class][usize::from(self.reveal % 3)],
            tables: if self.row_tables { Tables::Rows } else { Tables::Pieces },
            lengths: if self.hidden { Lengths::Hidden } else { Lengths::Public },
        }
    }
}

#[test]
fn card() {
    let kinds = Attention::ALL.map(|kind| SMALL.arch.clone().with_attention(kind).to_toml());
    let many = Arch { classes: 200, ..SMALL.arch.clone() }.to_toml();
    let archs: Vec<_> = kinds.into_iter().chain([many]).map(String::into_bytes).collect();
    let calibrations = [SMALL.calibration.to_toml().into_bytes()];
    let traced = AssertUnwindSafe(|said: &Said| {
        let card = Card {
            arch: said.arch.text(&archs),
            calibration: said.calibration.text(&calibrations),
            batch: said.batch,
            options: said.options(),
            framing: None,
            lexicon: None,
        };
        let rows = said.rows.map(u32::from);
        for length in [None, rows.map(Length::Public), rows.map(Length::Hidden)] {
            if let Ok(private) = card.trace(length) {
                assert_eq!(private.batch, said.batch);
                private.plan.hash();
            }
        }
    });
    bolero::check!().with_type::<Said>().for_each(|said| timed(&traced, said));
}
