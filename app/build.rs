//! Embeds what the pages are served with: our styles and scripts, and from npm htmx, its SSE extension and the typeface.
//!
//! The packages named by `assets/package-lock.json` are installed into `OUT_DIR`, and again only when the lock changes. Every file gets
//! its content's hash into its name, so that browsers may keep it for ever, and stands with that name in a Rust table
//! (`OUT_DIR/assets.rs`, read by `web::assets`). Nothing is written outside `OUT_DIR`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, bail};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

/// Names a `node_modules` folder in which the packages are already, for builds without a network.
const NODE_MODULES_VARIABLE: &str = "CHAT_APP_NODE_MODULES";
/// How many hexadecimal digits of the SHA-256 stand in a file's name.
const HASH_DIGITS: usize = 16;
/// Our styles, in the order in which they apply.
const STYLES: [&str; 6] = [
    "tokens.css",
    "base.css",
    "layout.css",
    "parts.css",
    "pages.css",
    "chat.css",
];
const SCRIPTS: [&str; 2] = ["app.js", "upload.js"];
const PACKAGES: [&str; 3] = ["htmx.org", "htmx-ext-sse", "@fontsource-variable/inter"];

fn main() -> anyhow::Result<()> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let sources = manifest.join("assets");
    rerun_if(&format!(
        "changed={}",
        sources.join("package-lock.json").display()
    ));
    rerun_if(&format!("env-changed={NODE_MODULES_VARIABLE}"));
    // A migration that is new is embedded by a macro, which cannot see that it came.
    rerun_if(&format!(
        "changed={}",
        manifest.join("migrations").display()
    ));

    let packages = match env::var_os(NODE_MODULES_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => install(&sources, &out.join("npm"))?,
    };
    let mut bundle = Bundle::new(out.join("assets"))?;
    styles(&mut bundle, &sources, &packages)?;
    for name in SCRIPTS {
        bundle.add(name, &read(&sources.join("js").join(name))?)?;
    }
    bundle.add(
        "htmx.js",
        &read(&packages.join("htmx.org/dist/htmx.min.js"))?,
    )?;
    bundle.add(
        "sse.js",
        &read(&packages.join("htmx-ext-sse/dist/sse.min.js"))?,
    )?;
    bundle.add("favicon.svg", &read(&sources.join("favicon.svg"))?)?;
    bundle.add("licences.txt", licences(&packages)?.as_bytes())?;
    fs::write(out.join("assets.rs"), bundle.table()).context("the table of assets is not written")
}

/// Tells Cargo when this has to run again.
fn rerun_if(condition: &str) {
    println!("cargo::rerun-if-{condition}");
}

/// The `node_modules` of the lock file, installed below `folder` unless they already are.
fn install(sources: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let lock = fs::read(sources.join("package-lock.json"))
        .context("assets/package-lock.json cannot be read")?;
    let installed = folder.join("installed-lock.json");
    if fs::read(&installed).is_ok_and(|before| before == lock) {
        return Ok(folder.join("node_modules"));
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("package-lock.json"), &lock)?;
    fs::copy(sources.join("package.json"), folder.join("package.json"))?;
    let run = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .output();
    let output = match run {
        Ok(output) => output,
        Err(error) => bail!(
            "npm cannot be run ({error}). Building the chat app takes its scripts and its typeface from npm: install Node.js with npm, or \
             set {NODE_MODULES_VARIABLE} to a node_modules folder in which `npm ci` has been run with app/assets/package-lock.json"
        ),
    };
    if !output.status.success() {
        bail!(
            "npm ci failed ({}). Without a network, set {NODE_MODULES_VARIABLE} to a node_modules folder made elsewhere. It said:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::write(installed, lock)?;
    Ok(folder.join("node_modules"))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    rerun_if(&format!("changed={}", path.display()));
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// One stylesheet of all, with the typeface's files, each for the scripts it covers, under their hashed names.
fn styles(bundle: &mut Bundle, sources: &Path, packages: &Path) -> anyhow::Result<()> {
    let typeface = packages.join("@fontsource-variable/inter");
    let mut css = String::from_utf8(read(&typeface.join("wght.css"))?)?;
    for part in css.clone().split("url(./").skip(1) {
        let Some((file, _)) = part.split_once(')') else {
            bail!("the typeface's wght.css has a url() without an end");
        };
        let name = file.rsplit('/').next().unwrap_or(file);
        let hashed = bundle.add(name, &read(&typeface.join(file))?)?;
        css = css.replace(&format!("url(./{file})"), &format!("url({hashed})"));
    }
    for name in STYLES {
        css.push_str(&String::from_utf8(read(&sources.join("css").join(name))?)?);
    }
    bundle.add("app.css", css.as_bytes())?;
    Ok(())
}

/// The licences of what is not ours: they ask to go wherever the files go.
fn licences(packages: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for package in PACKAGES {
        let licence = String::from_utf8(read(&packages.join(package).join("LICENSE"))?)?;
        write!(text, "{package}\n\n{}\n\n\n", licence.trim())?;
    }
    Ok(text)
}

/// Files under their hashed names, and what the table says of each.
struct Bundle {
    folder: PathBuf,
    files: BTreeMap<String, Embedded>,
}

struct Embedded {
    hashed: String,
    media_type: &'static str,
    gzipped: bool,
}

impl Bundle {
    fn new(folder: PathBuf) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            files: BTreeMap::new(),
        })
    }

    /// Puts a file into the bundle and says under which name.
    fn add(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let Some((stem, extension)) = name.rsplit_once('.') else {
            bail!("{name} has no extension to tell its type from");
        };
        let media_type = match extension {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            "txt" => "text/plain; charset=utf-8",
            "woff2" => "font/woff2",
            other => bail!("no media type is known for .{other}"),
        };
        let digest = hex::encode(Sha256::digest(bytes));
        let hashed = format!("{stem}.{}.{extension}", &digest[..HASH_DIGITS]);
        fs::write(self.folder.join(&hashed), bytes)?;
        let gzipped = extension != "woff2";
        if gzipped {
            let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
            gzip.write_all(bytes)?;
            fs::write(self.folder.join(format!("{hashed}.gz")), gzip.finish()?)?;
        }
        self.files.insert(
            name.to_owned(),
            Embedded {
                hashed: hashed.clone(),
                media_type,
                gzipped,
            },
        );
        Ok(hashed)
    }

    /// The Rust table, to be included where the type `Asset` is known.
    fn table(&self) -> String {
        let mut constants = String::new();
        let mut rows = String::new();
        for (name, file) in &self.files {
            let path = |suffix: &str| {
                format!(
                    "include_bytes!(concat!(env!(\"OUT_DIR\"), \"/assets/{}{suffix}\"))",
                    file.hashed
                )
            };
            let gzip = if file.gzipped {
                format!("Some({})", path(".gz"))
            } else {
                "None".to_owned()
            };
            // Fonts are asked for by the stylesheet alone: no page names them.
            if file.media_type != "font/woff2" {
                let constant = name.replace(['.', '-'], "_").to_uppercase();
                let _ = writeln!(
                    constants,
                    "/// Where `{name}` is served.\npub const {constant}: &str = \"/assets/{}\";",
                    file.hashed
                );
            }
            let _ = writeln!(
                rows,
                "    Asset {{ file: \"{}\", media_type: \"{}\", bytes: {}, gzip: {gzip} }},",
                file.hashed,
                file.media_type,
                path("")
            );
        }
        format!("{constants}\n/// Every embedded file.\npub static ALL: &[Asset] = &[\n{rows}];\n")
    }
}
