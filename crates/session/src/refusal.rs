//! Why a peer says no, as it crosses the wire: who is refused decides by the variant, people read the text.

use serde::{Deserialize, Serialize};

use crate::source::Source;

/// What to give to a model that takes this.
pub fn give(takes: &str) -> String {
    match takes {
        "texts" => "give texts, by --text".into(),
        _ => "give picture files".into(),
    }
}

/// A peer's no: what it prints is the cause. Texts inside of it are the peer's: [`crate::error::Error::Refused`] prints them escaped and
/// cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version of the messages.
    #[error("it speaks version {ours}, you {yours}")]
    Version {
        /// The refusing side's.
        ours: u32,
        /// The refused side's.
        yours: u32,
    },
    /// The client asks for another model, or insists on one.
    #[error("it serves model {served}; you ask for {asked}")]
    OtherModel {
        /// The model that is asked for, by name or hash.
        asked: String,
        /// The models that are served to this client.
        served: String,
    },
    /// The client does not say which of several models, or insists on weights that several have.
    #[error("it serves model {served}, and you do not say which")]
    WhichModel {
        /// The models that are served to this client.
        served: String,
    },
    /// Correlations would come from elsewhere.
    #[error("it takes correlations from {ours}, you from {yours}")]
    OtherSource {
        /// The refusing side's.
        ours: Source,
        /// The refused side's.
        yours: Source,
    },
    /// The dealer cannot use the server's description of its model.
    #[error("its model is not usable: {0}")]
    Card(String),
    /// The two trace different plans from one description.
    #[error("it traces plan {ours}, you {yours}")]
    OtherPlan {
        /// The refusing side's, shortened.
        ours: String,
        /// The refused side's, shortened.
        yours: String,
    },
    /// A request that is not for this role.
    #[error("only a {0} may ask for this")]
    NotYourRole(String),
    /// The other party of a pair is unknown.
    #[error("it does not know {0}")]
    Unknown(String),
    /// No server has announced this plan.
    #[error("{server} has not announced plan {plan}")]
    NotAnnounced {
        /// The server.
        server: String,
        /// The plan, shortened.
        plan: String,
    },
    /// The dealer was restarted or the model replaced: what was dealt or masked before is of no use.
    #[error("the dealer was restarted or the model replaced")]
    Stale,
    /// The dealer keeps no more plans of this server.
    #[error("it keeps no more plans of this server")]
    TooManyPlans,
    /// The server cannot reach its dealer.
    #[error("it has no dealer: {0}")]
    NoDealer(String),
    /// The server got no correlations in time.
    #[error("it has no correlated randomness: {0}")]
    Exhausted(String),
    /// The model takes something else.
    #[error("its model takes {0}, and was asked for something else")]
    OtherInput(String),
    /// A text's length is none of the model's.
    #[error("a text of {rows} tokens; its model takes 1 to {most}")]
    Length {
        /// The length.
        rows: u32,
        /// The longest.
        most: u32,
    },
    /// A hidden length, which the server does not offer.
    #[error("it serves texts of public lengths alone")]
    PublicLength,
    /// A bucket that the model does not have.
    #[error("{0} tokens are no bucket of its model")]
    Bucket(u32),
    /// A text is too long for the server's memory.
    #[error("a text of {rows} tokens needs {needed} MiB of what `memory` has for the model there")]
    Memory {
        /// The length.
        rows: u32,
        /// What it needs of the model's part of the memory, in MiB.
        needed: u64,
    },
    /// As many lengths of texts are in use as there is room for.
    #[error("texts of {0} other lengths are in use, and there is no room for more")]
    Lengths(usize),
    /// All places for batches are taken.
    #[error("all {0} batches that it has memory for are in use")]
    Busy(usize),
    /// A number that is used, skipped or somebody else's.
    #[error("batch {0} is burnt")]
    Burnt(u64),
    /// A batch on a disk that has no other half.
    #[error(
        "it keeps no such batch: used, given up for a newer one, or of a folder that was restored"
    )]
    NotKept,
    /// The client's images are used up.
    #[error("{used} of {quota} images are used up")]
    Quota {
        /// Images charged so far.
        used: u64,
        /// Images allowed.
        quota: u64,
    },
    /// Too many images, or too many batches that were asked for and not used.
    #[error("too many requests within a minute")]
    Rate(u64),
}

impl Refusal {
    /// What whoever is refused can do about it.
    pub fn remedy(&self) -> Option<String> {
        let fixed = match self {
            Self::Version { .. } | Self::OtherPlan { .. } | Self::Bucket(_) => {
                "run the same version of sotto everywhere"
            }
            Self::OtherModel { .. } => {
                "run again for what is served, or correct `model` in the client's configuration"
            }
            Self::WhichModel { .. } => "say it as `model = \"NAME\"` in the client's configuration",
            Self::OtherSource { .. } => "give both sides the same `source`",
            Self::NotYourRole(_) => "compare the lists of its configuration",
            Self::Unknown(_) => "add it to the dealer's lists",
            Self::NotAnnounced { .. } => "start the server first",
            Self::Stale => "connect again",
            Self::TooManyPlans => "end what still uses older ones, or restart the dealer",
            // Its own words have what to do.
            Self::NoDealer(_) | Self::Card(_) => return None,
            Self::Exhausted(_) => "start the dealer, or raise `deadline`",
            Self::OtherInput(takes) => return Some(give(takes)),
            Self::Length { .. } => "shorten it, or --truncate",
            Self::PublicLength => {
                "set `length = \"hidden\"` there, or `length = \"public\"` here, which tells it how many tokens each text has"
            }
            Self::Memory { .. } => "shorten it, or raise that",
            Self::Lengths(_) | Self::Busy(_) => "try again, or raise `memory` there",
            Self::Burnt(_) | Self::NotKept => "try again: another batch is taken",
            Self::Quota { .. } => "ask the server's operator for more",
            Self::Rate(seconds) => return Some(format!("try again in {seconds} s")),
        };
        Some(fixed.into())
    }

    /// Whether the same request cannot succeed before somebody changes something.
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Stale
                | Self::NotAnnounced { .. }
                | Self::Busy(_)
                | Self::Lengths(_)
                | Self::Burnt(_)
                | Self::NotKept
        )
    }
}
