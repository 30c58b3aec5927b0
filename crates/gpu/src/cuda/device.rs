//! A card.
#![allow(unsafe_code)]

use std::sync::Arc;

use cudarc::{
    driver::{CudaContext, CudaFunction, CudaStream, DriverError, sys},
    nvrtc::Ptx,
};

use super::{ceilings, compile, session::Loaded};
use crate::{
    Error, Program,
    device::{Ceilings, Device, Info, Session},
    precision::Precision,
};

/// What to do where no card answers.
const REMEDY: &str = "install NVIDIA's driver, or take --device gpu or cpu";

/// The first NVIDIA card of this machine.
#[derive(Debug)]
pub struct Cuda {
    pub(super) info: Info,
    /// What NVRTC calls the card.
    architecture: String,
    pub(super) context: Arc<CudaContext>,
    /// The only one on which anything runs.
    pub(super) stream: Arc<CudaStream>,
}

impl Cuda {
    /// The first card.
    ///
    /// # Errors
    /// [`Error::Missing`] where driver, card or NVRTC is not there.
    pub fn open() -> Result<Self, Error> {
        let missing = |why: String| Error::Missing { what: "NVIDIA GPU", why, remedy: REMEDY };
        // SAFETY: loading the library runs its initialisers alone.
        if !unsafe { sys::is_culib_present() } {
            return Err(missing("the driver's library libcuda is not found".into()));
        }
        compile::present()?;
        let told = |e: DriverError| missing(format!("{e:?}"));
        let context = CudaContext::new(0).map_err(told)?;
        let (major, minor) = context.compute_capability().map_err(told)?;
        // The card's own features need the name's last letter.
        let own = if major == 9 { "a" } else { "" };
        let info = Info {
            device: "cuda",
            name: context.name().map_err(told)?,
            driver: "CUDA, NVRTC".into(),
            precisions: vec![Precision::F32, Precision::F16, Precision::Bf16],
            software: false,
        };
        // SAFETY: all that is allocated is used, and freed, on one stream alone. Events between streams would be recorded into
        // its graphs.
        unsafe { context.disable_event_tracking() };
        // The default stream records no graphs.
        let stream = context.new_stream().map_err(told)?;
        Ok(Self { info, architecture: format!("sm_{major}{minor}{own}"), context, stream })
    }

    pub(super) fn stopped(&self, e: DriverError) -> Error {
        Error::Stopped { device: self.info.name.clone(), why: format!("{e:?}") }
    }

    /// A kernel's code for this card.
    pub(super) fn code(
        &self,
        kernel: &'static str,
        text: &str,
        precision: Precision,
    ) -> Result<Vec<u8>, Error> {
        let compiled = compile::kept(text, precision, &self.architecture);
        compiled.map_err(|why| Error::Compile { kernel, device: self.info.name.clone(), why })
    }

    /// A kernel's function, whose blocks share so many bytes beyond what it declares.
    pub(super) fn function(
        &self,
        kernel: &'static str,
        code: Vec<u8>,
        shared: usize,
    ) -> Result<CudaFunction, Error> {
        let refused = |why| Error::Compile { kernel, device: self.info.name.clone(), why };
        let module = self.context.load_module(Ptx::from_binary(code));
        let function = module.and_then(|module| module.load_function("run"));
        let function = function.map_err(|e| refused(format!("{e:?}")))?;
        let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        match function.set_attribute(most, shared as i32) {
            Ok(()) => Ok(function),
            Err(e) => Err(refused(format!("{shared} bytes of shared memory: {e:?}"))),
        }
    }
}

impl Device for Cuda {
    fn info(&self) -> &Info {
        &self.info
    }

    fn ceilings(&self, precision: Precision) -> Result<Ceilings, Error> {
        ceilings::measure(self, precision)
    }

    fn load<'a>(
        &'a self,
        program: &'a Program,
        batch: usize,
        precision: Precision,
    ) -> Result<Box<dyn Session + 'a>, Error> {
        Ok(Box::new(Loaded::new(self, program, batch, precision)?))
    }
}
