//! Embeds the assets of the pages: our styles and scripts, and from npm htmx, its SSE extension and
//! the typeface.
//!
//! `npm ci` installs the packages of `assets/package-lock.json` into `OUT_DIR`, again only when the
//! lock file changes. The name of each file contains a hash of its content, so that browsers can
//! cache it forever. A generated Rust table (`OUT_DIR/assets.rs`, included by
//! `web::shared::assets`) lists the files. The script writes only below `OUT_DIR`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, bail};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

/// Environment variable with the path of an installed `node_modules` folder, for builds without a
/// network.
const NODE_MODULES_VARIABLE: &str = "CHAT_APP_NODE_MODULES";
/// Hexadecimal digits of the SHA-256 in a file name.
const HASH_DIGITS: usize = 16;
/// Our stylesheets, in cascade order.
const STYLES: [&str; 6] = [
    "tokens.css",
    "base.css",
    "layout.css",
    "parts.css",
    "pages.css",
    "chat.css",
];
const ICONS: [&str; 3] = ["favicon.svg", "icon-192.png", "icon-512.png"];
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
    // The macro that embeds the migrations does not notice new files.
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
    for name in ICONS {
        bundle.add(name, &read(&sources.join(name))?)?;
    }
    bundle.add("licenses.txt", licenses(&packages)?.as_bytes())?;
    fs::write(out.join("assets.rs"), bundle.table()).context("failed to write the table of assets")
}

fn rerun_if(condition: &str) {
    println!("cargo::rerun-if-{condition}");
}

/// Installs the packages of the lock file below `folder`, unless they are already installed.
fn install(sources: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let lock = fs::read(sources.join("package-lock.json"))
        .context("failed to read assets/package-lock.json")?;
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
            "failed to run npm: {error}. The build takes scripts and fonts from npm: install Node.js with npm, or set \
             {NODE_MODULES_VARIABLE} to a node_modules folder in which `npm ci` was run with app/assets/package-lock.json"
        ),
    };
    if !output.status.success() {
        bail!(
            "npm ci failed ({}). Without a network, set {NODE_MODULES_VARIABLE} to a prepared node_modules folder. Output:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::write(installed, lock)?;
    Ok(folder.join("node_modules"))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    rerun_if(&format!("changed={}", path.display()));
    fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}

/// Concatenates all stylesheets, and adds the font files that they reference.
fn styles(bundle: &mut Bundle, sources: &Path, packages: &Path) -> anyhow::Result<()> {
    let typeface = packages.join("@fontsource-variable/inter");
    let mut css = String::from_utf8(read(&typeface.join("wght.css"))?)?;
    for part in css.clone().split("url(./").skip(1) {
        let Some((file, _)) = part.split_once(')') else {
            bail!("wght.css of the typeface has an unterminated url()");
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

/// The licenses of the embedded packages, which must be distributed with their files.
fn licenses(packages: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for package in PACKAGES {
        let license = String::from_utf8(read(&packages.join(package).join("LICENSE"))?)?;
        write!(text, "{package}\n\n{}\n\n\n", license.trim())?;
    }
    Ok(text)
}

/// The embedded files by name.
struct Bundle {
    folder: PathBuf,
    files: BTreeMap<String, EmbeddedFile>,
}

struct EmbeddedFile {
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

    /// Adds a file and returns its hashed name.
    fn add(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let Some((stem, extension)) = name.rsplit_once('.') else {
            bail!("{name} has no file extension");
        };
        let media_type = match extension {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "txt" => "text/plain; charset=utf-8",
            "woff2" => "font/woff2",
            other => bail!("unknown media type of .{other}"),
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
            EmbeddedFile {
                hashed: hashed.clone(),
                media_type,
                gzipped,
            },
        );
        Ok(hashed)
    }

    /// The Rust source of the table, which refers to the type `Asset`.
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
            // Only the stylesheet references fonts, so they need no constants.
            if file.media_type != "font/woff2" {
                let constant = name.replace(['.', '-'], "_").to_uppercase();
                let _ = writeln!(
                    constants,
                    "/// The path of `{name}`.\npub const {constant}: &str = \"/assets/{}\";",
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
