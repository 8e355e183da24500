//! Writing a mirror from the store.

use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::Path;
use std::thread::available_parallelism;

use lzma_rust2::{XzOptions, XzWriterMt};
use sha2::{Digest, Sha256};

use super::Package;
use super::error::{ComponentError, io_error};
use super::progress::{Progress, Unit};
use super::store::{Installed, Store, read_sums, sync_folder, write_sums};
use super::sums::Sums;
use super::transfer::{Hashing, sha256_of_file};

/// Nearly as small as the highest level, in half the time.
const XZ_PRESET: u32 = 4;
/// What one thread compresses at a time, in bytes.
const XZ_BLOCK: u64 = 16 << 20;
/// A file that is being written; a killed export leaves it behind, the next one overwrites it.
const PARTIAL: &str = ".partial";

/// Writes versions from the store into a mirror's folder. Files that are already there and intact are kept.
///
/// # Errors
/// If the store cannot be read, its content is damaged, or the folder cannot be written to.
pub fn export(store: &Store, packages: &[Package], mirror: &Path, progress: &Progress) -> Result<(), ComponentError> {
    for package in packages {
        let folder = mirror.join(package.folder());
        let _lock = fs::create_dir_all(&folder)
            .and_then(|()| File::open(&folder))
            .and_then(|handle| handle.lock().map(|()| handle))
            .map_err(io_error("cannot write", &folder))?;
        let mut sums = read_sums(&folder)?;
        // links are created where the mirror is used
        for executable in store.listing(*package)?.executables.iter().filter(|executable| !executable.path.is_symlink())
        {
            export_file(executable, &folder, &mut sums, progress)?;
        }
        write_sums(&folder, &sums)?;
    }
    Ok(())
}

fn export_file(
    executable: &Installed,
    folder: &Path,
    sums: &mut Sums,
    progress: &Progress,
) -> Result<(), ComponentError> {
    let Some(name) = executable.path.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    let packed_name = format!("{name}.xz");
    let packed = folder.join(&packed_name);
    let listed = |name: &str| sums.get(name).map(|sum| sum.sha256.clone());
    if listed(name).as_ref() == Some(&executable.sha256)
        && listed(&packed_name).is_some_and(|sum| sha256_of_file(&packed, None).is_ok_and(|actual| actual == sum))
    {
        return Ok(());
    }
    let partial = folder.join(PARTIAL);
    let (unpacked_sum, packed_sum) = compress(&executable.path, &partial, progress)?;
    if unpacked_sum != executable.sha256 {
        let _ = fs::remove_file(&partial);
        return Err(ComponentError::DamagedStore(format!("\n  {}", executable.path.display())));
    }
    fs::rename(&partial, &packed).map_err(io_error("cannot write", &packed))?;
    sync_folder(folder)?;
    sums.insert(name, unpacked_sum, "");
    sums.insert(&packed_name, packed_sum, "");
    Ok(())
}

/// Compresses a file, and returns the SHA-256 of both, hex.
fn compress(from: &Path, to: &Path, progress: &Progress) -> Result<(String, String), ComponentError> {
    let size = from.metadata().map_err(io_error("cannot read", from))?.len();
    let mut source = File::open(from).map_err(io_error("cannot read", from))?;
    let mut task = progress.task(&format!("compressing {}", from.display()), Some(size), Unit::Bytes);
    let mut reader = Hashing::new(&mut source, Some(&mut task));
    let mut write = || -> io::Result<String> {
        let output = HashingWriter { file: File::create(to)?, hasher: Sha256::new() };
        let mut options = XzOptions::with_preset(XZ_PRESET);
        options.set_block_size(NonZeroU64::new(XZ_BLOCK));
        let threads = available_parallelism().map_or(1, |threads| threads.get() as u32);
        let mut packer = XzWriterMt::new(output, options, threads)?;
        io::copy(&mut reader, &mut packer)?;
        let HashingWriter { file, hasher } = packer.finish()?;
        file.sync_all()?;
        Ok(hex::encode(hasher.finalize()))
    };
    let packed_sum = write().map_err(io_error("cannot write", to))?;
    let unpacked_sum = reader.finish().map_err(io_error("cannot read", from))?;
    task.finish();
    Ok((unpacked_sum, packed_sum))
}

struct HashingWriter {
    file: File,
    hasher: Sha256,
}

impl Write for HashingWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
