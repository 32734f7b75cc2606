//! The state serialised into a file, by bincode and by postcard.
//!
//! It is serialised into memory, since the state may be written to again when that is done; the
//! file is durable under its name, or not there.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use stillheap_peers::{Error, Saved, State, saved};

/// The file's name.
pub(crate) const STATE: &str = "state";

/// Saves the state as the bytes that `serialise` makes of it.
pub(crate) fn save<B: AsRef<[u8]>>(
    state: &State,
    dir: &Path,
    serialise: impl FnOnce(&State) -> Result<B, Error>,
) -> Result<(), Error> {
    let begun = Instant::now();
    let bytes = serialise(state)?;
    let pause = begun.elapsed();
    let temporary = dir.join("state.new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes.as_ref())?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(STATE))?;
    File::open(dir)?.sync_all()?;
    saved(&Saved { pause, whole: begun.elapsed() });
    Ok(())
}

pub(crate) fn to_bincode(state: &State) -> Result<Vec<u8>, Error> {
    Ok(bincode::encode_to_vec(state, bincode::config::standard())?)
}

pub(crate) fn from_bincode(dir: &Path) -> Result<State, Error> {
    let bytes = fs::read(dir.join(STATE))?;
    Ok(bincode::decode_from_slice(&bytes, bincode::config::standard())?.0)
}

pub(crate) fn to_postcard(state: &State) -> Result<Vec<u8>, Error> {
    Ok(postcard::to_stdvec(state)?)
}

pub(crate) fn from_postcard(dir: &Path) -> Result<State, Error> {
    Ok(postcard::from_bytes(&fs::read(dir.join(STATE))?)?)
}
