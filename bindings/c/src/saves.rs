//! Saves: the state as a blob, for apps that store it themselves.

use super::{
    engine::{SvEngine, with},
    status::{Failure, SvStatus, guarded},
    text::write,
};
use sottovoce_bindings::{Aside, Save};
use std::ptr;

/// A state for the app to save.
pub struct SvSave(Save);

/// What happens, before a save's blob replaces the last one, to copies of a state that could not be read.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SvAside {
    /// Nothing.
    Leave = 0,
    /// A copy of the blob that is stored now is kept for people to look at.
    Keep = 1,
    /// All copies are removed.
    Discard = 2,
}

/// What is to be saved now; `save` is NULL if nothing is. To be given back to `sv_saved` or `sv_not_saved`, or,
/// undecided, to `sv_save_free`: then it is given out again. For an engine that `sv_open` opened there is never
/// anything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_to_save(engine: *const SvEngine, save: *mut *mut SvSave) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or NULL.
    unsafe {
        with(engine, |held| {
            if save.is_null() {
                return Err(Failure::null("save"));
            }
            let next = held.device.to_save()?;
            save.write(next.map_or(ptr::null_mut(), |next| Box::into_raw(Box::new(SvSave(next)))));
            Ok(())
        })
    }
}

/// The blob of a save, and its length; lives as long as the save. NULL, and 0: remove what is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_save_blob(save: *const SvSave, len: *mut usize) -> *const u8 {
    // SAFETY: the caller passes a save and a place, or NULL.
    unsafe {
        let blob = save.as_ref().and_then(|save| save.0.blob.as_ref());
        write(len, blob.map_or(0, Vec::len));
        blob.map_or(ptr::null(), Vec::as_ptr)
    }
}

/// What happens to copies first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_save_aside(save: *const SvSave) -> SvAside {
    // SAFETY: the caller passes a save or NULL.
    match unsafe { save.as_ref() }.map(|save| save.0.aside) {
        None | Some(Aside::Leave) => SvAside::Leave,
        Some(Aside::Keep) => SvAside::Keep,
        Some(Aside::Discard) => SvAside::Discard,
    }
}

/// A save is durable: whoever reads the state after a crash finds this one. Gives the save back, whatever is
/// returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_saved(engine: *const SvEngine, save: *mut SvSave) -> SvStatus {
    if save.is_null() {
        return guarded(|| Err(Failure::null("save")));
    }
    // SAFETY: the caller gives back what `sv_to_save` gave out, once.
    unsafe {
        let version = Box::from_raw(save).0.version;
        with(engine, |held| Ok(held.device.saved(version)?))
    }
}

/// A save failed, or nobody knows: the engine is again what was saved last, and what was recorded since is not
/// recorded. Gives the save back; `save` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_not_saved(engine: *const SvEngine, save: *mut SvSave) -> SvStatus {
    // SAFETY: the caller passes an engine and gives back what `sv_to_save` gave out, once, or NULL.
    unsafe {
        sv_save_free(save);
        with(engine, |held| {
            held.device.not_saved();
            Ok(())
        })
    }
}

/// Gives back a save about which nothing is known yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_save_free(save: *mut SvSave) {
    if !save.is_null() {
        // SAFETY: the caller gives back what `sv_to_save` gave out, once.
        drop(unsafe { Box::from_raw(save) });
    }
}
