//! Engines: how they are opened and closed, and who keeps their state.

use super::{
    status::{Failure, SvStatus, guarded},
    text::{bytes, give_optional, optional, required, write},
};
use sottovoce_bindings::{Device, Error, Found, Next, Opening};
use sottovoce_client::{
    engine,
    storage::{MemoryStorage, Storage},
};
use std::{ffi::c_char, sync::Mutex};
use zeroize::Zeroizing;

/// One device's engine for one program.
pub struct SvEngine(pub(crate) Mutex<Held>);

/// A device, and where its state is kept.
pub(crate) struct Held {
    pub(crate) device: Device,
    /// None where the app keeps it.
    storage: Option<Box<dyn Storage + Send>>,
    /// Where a state that could not be read was put.
    aside: Option<String>,
}

/// What an engine was opened from.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum SvFound {
    /// Nothing: the device is new.
    Nothing = 0,
    /// Its state.
    State = 1,
    /// The state of another program, which was adopted.
    Adopted = 2,
    /// A state that is not read; it is kept aside, and the device is silent for a while.
    SetAside = 3,
}

impl Held {
    /// Opens a device, and stores what it is if the library keeps the state.
    fn open(
        program: &str,
        opening: Opening<'_>,
        storage: Option<Box<dyn Storage + Send>>,
        now: u64,
    ) -> Result<(Self, Found), Failure> {
        let (device, found) = Device::open(program, opening, now)?;
        let mut held = Self { device, storage, aside: None };
        held.store()?;
        Ok((held, found))
    }

    /// Makes a change. Where the library keeps the state, it is stored when this returns; if that fails, nothing
    /// has changed.
    pub(crate) fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Device) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let done = change(&mut self.device)?;
        self.store()?;
        Ok(done)
    }

    /// What is next; saves only where the app keeps the state.
    pub(crate) fn next(&mut self, now: u64) -> Result<Next, Failure> {
        loop {
            match self.device.next(now)? {
                Next::Save(_) if self.storage.is_some() => self.store()?,
                next => return Ok(next),
            }
        }
    }

    /// Itself, if the library keeps the state.
    #[cfg(feature = "courier")]
    pub(crate) fn stored(&mut self) -> Option<Stored<'_>> {
        let storage = self.storage.as_mut()?.as_mut();
        Some(Stored { device: &mut self.device, storage })
    }

    fn store(&mut self) -> Result<(), Failure> {
        let Some(storage) = &mut self.storage else { return Ok(()) };
        let place = engine::store(self.device.core(), storage.as_mut())?;
        self.aside = place.or(self.aside.take());
        Ok(())
    }
}

/// A device whose state the library keeps: what can be sent without the app.
#[cfg(feature = "courier")]
pub(crate) struct Stored<'a> {
    device: &'a mut Device,
    storage: &'a mut (dyn Storage + Send),
}

#[cfg(feature = "courier")]
impl sottovoce_courier::Sender for Stored<'_> {
    fn next(&mut self, now: u64) -> Result<engine::Step, engine::EngineError> {
        engine::next(self.device.core(), self.storage, now)
    }

    fn answered(
        &mut self,
        id: sottovoce_client::device::RequestId,
        arrived: sottovoce_client::device::Arrived,
        now: u64,
    ) -> Result<(), engine::EngineError> {
        self.device.core().answered(id, arrived, now)?;
        engine::store(self.device.core(), self.storage).map(drop)
    }
}

/// Opens the state of a device, or begins one. The library keeps the state.
///
/// `program` is the text of the program file. `state_path` names the state's file; without one the
/// state ends with the process. `key` are 32 bytes that the state is sealed with, or NULL. With
/// `adopt`, the state of another program goes on with this one. `found` may be NULL; where it says
/// `SV_FOUND_SET_ASIDE`, `sv_set_aside` says where the state was put.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_open(
    program: *const c_char,
    state_path: *const c_char,
    key: *const u8,
    adopt: bool,
    now: u64,
    engine: *mut *mut SvEngine,
    found: *mut SvFound,
) -> SvStatus {
    guarded(|| {
        // SAFETY: the caller passes strings, 32 bytes and places to write to, or NULL.
        let (program, path, key) =
            unsafe { (required("program", program)?, optional(state_path)?, key_at(key)) };
        place_for_engine(engine)?;
        let mut storage: Box<dyn Storage + Send> = match path {
            Some(path) => open_file(path)?,
            None => Box::new(MemoryStorage::default()),
        };
        let blob = storage.load()?;
        let opening = Opening { blob: blob.as_deref(), key, adopt };
        let opened = Held::open(program, opening, Some(storage), now)?;
        // SAFETY: as above.
        unsafe { hand_out(opened, engine, found) };
        Ok(())
    })
}

/// Opens a device whose state the app keeps: `blob` is what it saved last, or NULL if it saved nothing yet; then
/// `blob_len` is 0. All else is as for `sv_open`. What is to be saved, `sv_to_save` gives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_open_blob(
    program: *const c_char,
    blob: *const u8,
    blob_len: usize,
    key: *const u8,
    adopt: bool,
    now: u64,
    engine: *mut *mut SvEngine,
    found: *mut SvFound,
) -> SvStatus {
    guarded(|| {
        // SAFETY: the caller passes a string, as many bytes, 32 bytes and places to write to, or NULL.
        let (program, given, key) =
            unsafe { (required("program", program)?, bytes(blob, blob_len)?, key_at(key)) };
        place_for_engine(engine)?;
        let blob = (!blob.is_null()).then_some(given);
        let opened = Held::open(program, Opening { blob, key, adopt }, None, now)?;
        // SAFETY: as above.
        unsafe { hand_out(opened, engine, found) };
        Ok(())
    })
}

/// Closes an engine. What `sv_open` opened is stored already; of what `sv_open_blob` opened, what is not saved is
/// lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_close(engine: *mut SvEngine) {
    if !engine.is_null() {
        let _ = guarded(|| {
            // SAFETY: the caller gives back what was opened, once.
            drop(unsafe { Box::from_raw(engine) });
            Ok(())
        });
    }
}

/// Where a state that could not be read was put when the engine was opened; NULL if there was none, or the app
/// keeps the state. To be given back to `sv_string_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_set_aside(
    engine: *const SvEngine,
    place: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or NULL.
    unsafe { with(engine, |held| give_optional("place", place, held.aside.as_deref())) }
}

unsafe fn key_at(key: *const u8) -> Option<Zeroizing<[u8; 32]>> {
    // SAFETY: the caller promises 32 bytes, or NULL.
    (!key.is_null()).then(|| Zeroizing::new(unsafe { *key.cast::<[u8; 32]>() }))
}

fn place_for_engine(engine: *mut *mut SvEngine) -> Result<(), Failure> {
    if engine.is_null() { Err(Failure::null("engine")) } else { Ok(()) }
}

unsafe fn hand_out((held, what): (Held, Found), engine: *mut *mut SvEngine, found: *mut SvFound) {
    let what = match what {
        Found::Nothing => SvFound::Nothing,
        Found::State => SvFound::State,
        Found::Adopted => SvFound::Adopted,
        Found::Unreadable(_) => SvFound::SetAside,
    };
    // SAFETY: `engine` was checked, and `found` is a place or NULL.
    unsafe {
        engine.write(Box::into_raw(Box::new(SvEngine(Mutex::new(held)))));
        write(found, what);
    }
}

#[cfg(not(target_family = "wasm"))]
fn open_file(path: &str) -> Result<Box<dyn Storage + Send>, Failure> {
    Ok(Box::new(sottovoce_client::storage::FileStorage::open(path)?))
}

#[cfg(target_family = "wasm")]
fn open_file(_: &str) -> Result<Box<dyn Storage + Send>, Failure> {
    Err(Failure::argument(
        "there are no files on this platform; pass no path, or use `sv_open_blob`",
    ))
}

/// Does something with an engine, one call at a time.
pub(crate) unsafe fn with(
    engine: *const SvEngine,
    work: impl FnOnce(&mut Held) -> Result<(), Failure>,
) -> SvStatus {
    guarded(|| {
        // SAFETY: the caller passes what was opened and is not closed, or NULL.
        let engine = unsafe { engine.as_ref() }.ok_or_else(|| Failure::null("engine"))?;
        let mut held = engine.0.lock().map_err(|_| Failure::broken())?;
        work(&mut held)
    })
}
