//! From text to a card's own code.
#![allow(unsafe_code)]

use std::ffi::CString;

use cudarc::nvrtc::{result, sys};

use super::source;
use crate::{Error, device::Precision};

/// What to do where the compiler is not there.
const REMEDY: &str = "install libnvrtc 13 or 12 (a CUDA toolkit, PyTorch or the package nvidia-cuda-nvrtc has it) and name its \
                      folder in LD_LIBRARY_PATH, or take --device gpu, which needs neither";

/// Whether NVRTC is there.
pub(super) fn present() -> Result<(), Error> {
    // SAFETY: loading the library runs its initialisers alone; it is NVIDIA's or whoever set the search path chose it.
    match unsafe { sys::is_culib_present() } {
        true => Ok(()),
        false => {
            let why = "the run-time compiler libnvrtc is not found".into();
            Err(Error::Missing { what: "CUDA compiler", why, remedy: REMEDY })
        }
    }
}

/// The code of a kernel for an architecture such as `sm_90a`.
///
/// # Errors
/// What the compiler says.
pub(super) fn cubin(
    text: &str,
    precision: Precision,
    architecture: &str,
) -> Result<Vec<u8>, String> {
    let text = format!("{}\n{text}", source::DEVICE);
    let text = CString::new(text).map_err(|e| e.to_string())?;
    let options = [
        format!("--gpu-architecture={architecture}"),
        "--std=c++17".into(),
        format!("-D{}=1", source::format(precision)),
    ];
    let program = result::create_program(&text, None).map_err(|e| format!("{e:?}"))?;
    // SAFETY: the program was just made and is destroyed below, once; sizes are those that the library gave.
    unsafe {
        let compiled = result::compile_program(program, &options);
        let made = match compiled {
            Ok(()) => {
                let mut size = 0;
                sys::nvrtcGetCUBINSize(program, &mut size);
                let mut cubin = vec![0u8; size];
                match sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast()) {
                    sys::nvrtcResult::NVRTC_SUCCESS if size > 0 => Ok(cubin),
                    other => Err(format!("{other:?}")),
                }
            }
            Err(e) => {
                let log = result::get_program_log(program).unwrap_or_default();
                let log = log.iter().map(|&c| c as u8 as char).filter(|&c| c != '\0');
                Err(format!("{e:?}: {}", log.collect::<String>()))
            }
        };
        match result::destroy_program(program) {
            Ok(()) => made,
            Err(e) => Err(format!("{e:?}")),
        }
    }
}
