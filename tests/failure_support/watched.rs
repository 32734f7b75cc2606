//! The simulated disk, with a writer's step at each of its calls.

use super::World;
use std::io;
use std::path::PathBuf;
use stillheap::os::sim::{SimDir, SimFile};
use stillheap::os::{Dir, File, FileBytes, PublishError};

/// The directory.
pub(crate) struct Watched<'a> {
    pub(crate) dir: SimDir,
    pub(crate) world: &'a World,
}

/// A file of it.
pub(crate) struct WatchedFile<'a> {
    file: SimFile,
    dir: SimDir,
    world: &'a World,
}

impl<'a> Watched<'a> {
    fn watch(&self, file: SimFile) -> WatchedFile<'a> {
        WatchedFile { file, dir: self.dir.clone(), world: self.world }
    }
}

impl<'a> Dir for Watched<'a> {
    type File = WatchedFile<'a>;

    fn list(&self) -> io::Result<Vec<String>> {
        self.dir.list()
    }

    fn open(&self, name: &str) -> io::Result<WatchedFile<'a>> {
        Ok(self.watch(self.dir.open(name)?))
    }

    fn create(&self, name: &str) -> io::Result<WatchedFile<'a>> {
        self.world.step();
        Ok(self.watch(self.dir.create(name)?))
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        self.world.step();
        self.dir.publish(name, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.world.step();
        self.dir.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.world.step();
        self.dir.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.world.step();
        self.dir.sync()
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.dir.path_of(name)
    }
}

impl File for WatchedFile<'_> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.world.step();
        self.file.write_at(offset, bytes)
    }

    fn copy_from(
        &self,
        offset: u64,
        source: &Self,
        source_offset: u64,
        len: u64,
    ) -> io::Result<()> {
        self.world.step();
        self.file.copy_from(offset, &source.file, source_offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.world.step();
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.world.step();
        self.world.before_sync(&self.dir);
        self.file.sync()
    }

    fn view(&self) -> io::Result<FileBytes> {
        self.file.view()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.file.next_data(offset)
    }
}
