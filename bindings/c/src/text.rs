//! Conversion of strings and bytes between C and Rust.

use super::status::Failure;
use std::{
    ffi::{CStr, CString, c_char},
    ptr, slice,
};

/// A string that must be there.
pub(crate) unsafe fn required<'a>(name: &str, text: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: the caller passes a string that lives as long as the call, or NULL.
    unsafe { optional(text)? }.ok_or_else(|| Failure::null(name))
}

/// A string, or null.
pub(crate) unsafe fn optional<'a>(text: *const c_char) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller passes a string that ends with a zero byte.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Failure::argument("a string is not UTF-8"))
}

/// Bytes; null only if there are none.
pub(crate) unsafe fn bytes<'a>(bytes: *const u8, len: usize) -> Result<&'a [u8], Failure> {
    match (bytes.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::argument("the bytes are NULL and their length is not 0")),
        // SAFETY: the caller promises as many bytes.
        (false, _) => Ok(unsafe { slice::from_raw_parts(bytes, len) }),
    }
}

/// Gives a string out, to be given back to [`sv_string_free`].
pub(crate) unsafe fn give(name: &str, place: *mut *mut c_char, text: &str) -> Result<(), Failure> {
    if place.is_null() {
        return Err(Failure::null(name));
    }
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: the caller passes a place to write to.
    unsafe { write(place, text.into_raw()) };
    Ok(())
}

pub(crate) fn to_json(what: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(what)
        .map_err(|_| Failure::argument("the result cannot be encoded as JSON"))
}

/// Gives a string out, or NULL if there is none.
pub(crate) unsafe fn give_optional(
    name: &str,
    place: *mut *mut c_char,
    text: Option<&str>,
) -> Result<(), Failure> {
    // SAFETY: the caller passes a place to write to, or NULL.
    unsafe {
        if let Some(text) = text {
            return give(name, place, text);
        }
        if place.is_null() {
            return Err(Failure::null(name));
        }
        place.write(ptr::null_mut());
    }
    Ok(())
}

/// Gives back a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the caller gives back what this library gave out, once.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// Writes to a place that may be NULL.
pub(crate) unsafe fn write<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: the caller passes a place to write to.
        unsafe { place.write(value) };
    }
}
