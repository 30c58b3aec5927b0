//! From text to a card's own code.
#![allow(unsafe_code)]

use std::ffi::CString;

use cudarc::nvrtc::{result, sys};

use super::{cache, source};
use crate::{Error, precision::Precision};

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

/// The code of a kernel for an architecture, from the cache if it was compiled before.
///
/// # Errors
/// What the compiler says.
pub(super) fn kept(
    text: &str,
    precision: Precision,
    architecture: &str,
) -> Result<Vec<u8>, String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: two numbers are written.
    let version = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
    let version = format!("{version:?} {major}.{minor}");
    let (format, groups) = (source::format(precision), cfg!(feature = "hopper"));
    let switches = format!("{format} {groups}");
    let key = cache::key(&[&version, architecture, &switches, source::DEVICE, text]);
    let folder = cache::folder();
    if let Some(code) = folder.as_ref().and_then(|folder| cache::get(folder, &key)) {
        return Ok(code);
    }
    let (code, _) = cubin(text, precision, architecture, groups)?;
    if let Some(folder) = folder {
        cache::put(&folder, &key, &code);
    }
    Ok(code)
}

/// The code of a kernel for an architecture such as `sm_90a`, with products of four warps (`groups`) where it has them, and what the compiler says of its registers and spills.
///
/// # Errors
/// What the compiler says.
pub(super) fn cubin(
    text: &str,
    precision: Precision,
    architecture: &str,
    groups: bool,
) -> Result<(Vec<u8>, String), String> {
    let text = format!("{}\n{text}", source::DEVICE);
    let text = CString::new(text).map_err(|e| e.to_string())?;
    let mut options = vec![
        format!("--gpu-architecture={architecture}"),
        "--std=c++17".into(),
        format!("-D{}=1", source::format(precision)),
        "--ptxas-options=-v".into(),
        "--disable-warnings".into(),
    ];
    if groups {
        options.push("-DGROUPS=1".into());
    }
    let program = result::create_program(&text, None).map_err(|e| format!("{e:?}"))?;
    // SAFETY: the program was just made and is destroyed below, once; sizes are those that the library gave.
    unsafe {
        let compiled = result::compile_program(program, &options);
        let log = result::get_program_log(program).unwrap_or_default();
        let log: String = log.iter().map(|&c| c as u8 as char).filter(|&c| c != '\0').collect();
        let made = match compiled {
            Ok(()) => {
                let mut size = 0;
                sys::nvrtcGetCUBINSize(program, &mut size);
                let mut cubin = vec![0u8; size];
                match sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast()) {
                    sys::nvrtcResult::NVRTC_SUCCESS if size > 0 => Ok((cubin, log)),
                    other => Err(format!("{other:?}")),
                }
            }
            Err(e) => Err(format!("{e:?}: {log}")),
        };
        match result::destroy_program(program) {
            Ok(()) => made,
            Err(e) => Err(format!("{e:?}")),
        }
    }
}
