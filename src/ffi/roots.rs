//! Roots: blocks that are found again by name, tag, size and alignment.
#![allow(unsafe_code, reason = "functions for C read and write where it says")]

use crate::Heap;
use crate::ffi::calls::coded;
use crate::ffi::failure::Failure;
use crate::ffi::memory::checked_align;
use crate::ffi::structs::{CRoot, NAME_MAX};
use crate::ffi::{open_heap, root_values, structs, text};
use crate::typed::{ForeignRoot, ForeignType};
use std::alloc::Layout;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// A root's value. If there is no such root, it is made, all zero.
///
/// # Safety
/// The texts are null or end with a zero byte; `value` and `made` are null or places for answers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_root_open(
    name: *const c_char,
    tag: *const c_char,
    size: usize,
    align: usize,
    value: *mut *mut c_void,
    made: *mut c_int,
) -> c_int {
    coded(|| {
        let place = text::wanted("`value`", value)?;
        // SAFETY: says the caller.
        let name = unsafe { text::text("the root's name", name)? };
        // SAFETY: as above.
        let ty = unsafe { foreign_type(tag, size, align)? };
        let (found, is_new) = change(|heap| Ok(heap.foreign_root_or_new(name, &ty)?))?;
        // SAFETY: as above.
        unsafe { text::put(place, ptr::with_exposed_provenance_mut(found)) };
        // SAFETY: as above.
        unsafe { text::put(made, is_new.into()) };
        Ok(())
    })
}

/// A root's value.
///
/// # Safety
/// As for `stillheap_root_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_root_get(
    name: *const c_char,
    tag: *const c_char,
    size: usize,
    align: usize,
    value: *mut *mut c_void,
) -> c_int {
    coded(|| {
        let place = text::wanted("`value`", value)?;
        // SAFETY: says the caller.
        let name = unsafe { text::text("the root's name", name)? };
        // SAFETY: as above.
        let ty = unsafe { foreign_type(tag, size, align)? };
        let found = open_heap::with(|heap| Ok(heap.foreign_root(name, &ty)?))?;
        // SAFETY: as above.
        unsafe { text::put(place, ptr::with_exposed_provenance_mut(found)) };
        Ok(())
    })
}

/// Makes a block a root's value, in place of the one that it has.
///
/// # Safety
/// As for `stillheap_root_open`. The block is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_root_set(
    name: *const c_char,
    tag: *const c_char,
    size: usize,
    align: usize,
    value: *mut c_void,
) -> c_int {
    coded(|| {
        let value = text::wanted("`value`", value)?;
        // SAFETY: says the caller.
        let name = unsafe { text::text("the root's name", name)? };
        // SAFETY: as above.
        let ty = unsafe { foreign_type(tag, size, align)? };
        change(|heap| Ok(heap.put_foreign_root(name, &ty, value.expose_provenance())?))
    })
}

/// Takes a root out of the heap. Its value stays in use.
///
/// # Safety
/// As for `stillheap_root_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_root_remove(
    name: *const c_char,
    value: *mut *mut c_void,
) -> c_int {
    coded(|| {
        // SAFETY: says the caller.
        let name = unsafe { text::text("the root's name", name)? };
        let found = change(|heap| Ok(heap.remove_foreign_root(name)?))?;
        // SAFETY: as above.
        unsafe { text::put(value, ptr::with_exposed_provenance_mut(found)) };
        Ok(())
    })
}

/// The heap's roots.
///
/// # Safety
/// `list` is null or has room for `room` of them; `count` is null or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_list_roots(
    list: *mut CRoot,
    room: usize,
    count: *mut usize,
) -> c_int {
    coded(|| {
        let roots = open_heap::with(|heap| Ok(heap.foreign_roots()))?;
        // SAFETY: says the caller.
        unsafe { text::put_list(roots.iter().map(told), list, room, count) }
    })
}

/// Does what may change which blocks are roots' values.
fn change<R>(f: impl FnOnce(&Heap) -> Result<R, Failure>) -> Result<R, Failure> {
    open_heap::with(|heap| {
        let result = f(heap);
        root_values::note(|| heap.foreign_roots());
        result
    })
}

/// # Safety
/// The tag is null or ends with a zero byte.
unsafe fn foreign_type(
    tag: *const c_char,
    size: usize,
    align: usize,
) -> Result<ForeignType, Failure> {
    // SAFETY: says the caller.
    let tag = unsafe { text::text("the root's tag", tag)? };
    if tag.is_empty() || tag.len() > NAME_MAX {
        let len = tag.len();
        let text = format_args!("a root's tag has 1 to {NAME_MAX} bytes, this one has {len}");
        return Err(Failure::invalid(text));
    }
    let align = checked_align(align)?;
    match Layout::from_size_align(size, align) {
        Ok(layout) if size > 0 => Ok(ForeignType { tag: tag.to_owned(), layout }),
        _ => Err(Failure::invalid(format_args!("a root's value cannot have {size} bytes"))),
    }
}

fn told(root: &ForeignRoot) -> CRoot {
    let ForeignRoot { name, value, ty } = root;
    let layout = ty.as_ref().map(|ty| ty.layout);
    CRoot {
        value: match layout {
            Some(_) => ptr::with_exposed_provenance_mut(*value),
            None => ptr::null_mut(),
        },
        size: layout.map_or(0, |layout| layout.size()),
        align: layout.map_or(0, |layout| layout.align()),
        name: structs::text(name),
        tag: structs::text(ty.as_ref().map_or("", |ty| &ty.tag)),
    }
}
