//! What numbers are stored as.

/// What a number is stored as. Sums are in f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// IEEE single precision.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single precision number.
    Bf16,
}

impl Precision {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
        }
    }

    /// The format of a name.
    fn of(name: &str) -> Option<Self> {
        let all = [Precision::F32, Precision::F16, Precision::Bf16];
        all.into_iter().find(|precision| precision.name() == name)
    }

    /// Bytes of a number.
    pub fn width(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::of(name).ok_or_else(|| format!("no precision `{name}`: f32, f16 or bf16"))
    }
}
