//! `sotto plan`: a model's gates, widths, flights and bytes.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use sotto_models::{Private, calibration::hex, length::Length};

use crate::{
    choices::{self, Choices},
    config::Source,
    error::Error,
    model::Model,
    print,
    report::{self, bytes, table},
};

/// What `sotto plan` is told.
#[derive(Args)]
pub struct Plan {
    /// `demo`, `vit_cifar` or `vit_tiny`, or a model folder.
    model: PathBuf,
    #[command(flatten)]
    choices: Choices,
    /// Where correlations come from: a dealer, or server and client by themselves.
    #[arg(long, value_parser = choices::source(), default_value = "dealer")]
    source: Source,
    /// Every gate and the totals as JSON.
    #[arg(long)]
    json: bool,
}

impl Plan {
    /// Traces and prints: every gate of one plan, the totals of several lengths.
    ///
    /// # Errors
    /// Those of [`Choices::private`]; [`Error::Protocol`] for what cannot be made without a dealer.
    pub fn run(&self) -> Result<(), Error> {
        let model = Model::find(&self.model)?;
        let all = self.choices.private(&model)?;
        match &all[..] {
            [one] if self.json => print::json(&self.object(&model, one)?),
            [(_, private)] => {
                print::line(report::plan_table(&private.plan))?;
                print::line(report::plan_summary(&private.plan, self.source)?)
            }
            _ if self.json => {
                let each = all.iter().map(|one| self.object(&model, one));
                let lengths = each.collect::<Result<Vec<_>, Error>>()?;
                print::json(&json!({ "model": model.arch.name, "lengths": lengths }))
            }
            _ => self.lengths(&all),
        }
    }

    fn object(&self, model: &Model, one: &(Option<Length>, Private)) -> Result<Value, Error> {
        let (length, private) = one;
        let mut object = json!({
            "model": model.arch.name,
            "batch": self.choices.batch,
            "plan": hex(&private.plan.hash()),
            "planned": report::planned(&private.plan, self.source)?,
            "cots": report::cots(&private.plan, self.source)?,
            "revealed_bits": private.plan.revealed_bits(),
            "gates": report::plan_lines(&private.plan),
        });
        if let Some(length) = length {
            let key = if length.is_hidden() { "bucket" } else { "tokens" };
            object[key] = json!(length.rows());
        }
        Ok(object)
    }

    fn lengths(&self, all: &[(Option<Length>, Private)]) -> Result<(), Error> {
        let header = ["tokens", "flights", "online", "offline", "total", "setup, once"];
        let mut t = table(&header, 0);
        for (length, private) in all {
            let planned = report::planned(&private.plan, self.source)?;
            t.add_row(vec![
                length.map(|length| length.to_string()).unwrap_or_default(),
                planned.flights.to_string(),
                bytes(planned.online_bytes),
                bytes(planned.offline_bytes),
                bytes(planned.online_bytes + planned.offline_bytes),
                bytes(planned.setup_bytes),
            ]);
        }
        print::line(t)?;
        let batch = self.choices.batch;
        print::line(format!("for an evaluation of {batch} text(s) of so many tokens each"))
    }
}
