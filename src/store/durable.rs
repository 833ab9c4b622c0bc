//! What makes a flush survive a power cut.
//!
//! On Linux sled 0.34 ends a flush with `sync_file_range`, which neither writes the file's length and extents nor
//! empties the disk's own cache, and it never syncs the files that it puts large records into (`blobs/`). A killed
//! process loses nothing by that, a machine without power may. So the files are synced here.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The database's files, as sled 0.34 names them.
pub(super) struct DatabaseFiles {
    log: File,
    blobs: PathBuf,
}

impl DatabaseFiles {
    /// Opens them, and makes their names durable.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let files = Self { log: File::open(dir.join("db"))?, blobs: dir.join("blobs") };
        files.sync()?;
        File::open(dir)?.sync_all()?;
        Ok(files)
    }

    /// Returns when all that was written to them before is on the disk. Blocks.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut has_blobs = false;
        for blob in fs::read_dir(&self.blobs)? {
            match File::open(blob?.path()) {
                Ok(blob) => blob.sync_data()?,
                // Removed since, because its record is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            has_blobs = true;
        }
        if has_blobs {
            File::open(&self.blobs)?.sync_all()?;
        }
        self.log.sync_data()
    }
}
