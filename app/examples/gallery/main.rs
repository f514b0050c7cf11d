//! Writes every page in its notable states to a folder of static files, for previewing style
//! changes, screenshots and accessibility checks.
//!
//! ```sh
//! cargo run -p app --example gallery -- target/gallery
//! ```

use std::path::PathBuf;
use std::{env, fs};

use anyhow::Context as _;
use app::web::shared::assets;

mod samples;

fn main() -> anyhow::Result<()> {
    let folder = env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/gallery"), PathBuf::from);
    let served = folder.join("assets");
    if served.exists() {
        fs::remove_dir_all(&served)?;
    }
    fs::create_dir_all(&served).context("failed to create the output folder")?;
    for asset in assets::ALL {
        let file = served.join(asset.file);
        fs::create_dir_all(file.parent().unwrap_or(&served))?;
        fs::write(file, asset.bytes)?;
    }
    let pages = samples::all();
    for (name, page) in &pages {
        fs::write(folder.join(format!("{name}.html")), page.0.as_bytes())?;
    }
    eprintln!("wrote {} pages to {}", pages.len(), folder.display());
    Ok(())
}
