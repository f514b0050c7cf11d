//! Embeds the assets of the pages: our styles and scripts, and from npm htmx, its SSE extension, the
//! typeface and pdf.js.
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
const SCRIPTS: [&str; 3] = ["app.js", "live.js", "upload.js"];
/// The modules of the viewer. Each imports only those before it.
const VIEWER_MODULES: [&str; 3] = ["passage.js", "pages.js", "viewer.js"];
const PDF_JS: &str = "pdfjs-dist";
/// Files that pdf.js requests by name while it shows a document: character maps and fonts that PDFs
/// refer to, and decoders of images. Each is a folder of the package and endings of file names.
const PDF_JS_RESOURCES: [(&str, &[&str]); 3] = [
    ("cmaps", &[".bcmap"]),
    ("standard_fonts", &[".pfb", ".ttf"]),
    ("wasm", &["_nowasm_fallback.js"]),
];
/// The licenses of the packages, and of what they contain.
const LICENSES: [(&str, &[&str]); 4] = [
    ("htmx.org", &["LICENSE"]),
    ("htmx-ext-sse", &["LICENSE"]),
    ("@fontsource-variable/inter", &["LICENSE"]),
    (
        PDF_JS,
        &[
            "LICENSE",
            "cmaps/LICENSE",
            "standard_fonts/LICENSE_FOXIT",
            "standard_fonts/LICENSE_LIBERATION",
            "wasm/LICENSE_JBIG2",
            "wasm/LICENSE_OPENJPEG",
            "wasm/LICENSE_PDFJS_JBIG2",
            "wasm/LICENSE_PDFJS_OPENJPEG",
        ],
    ),
];

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
    viewer(&mut bundle, &sources, &packages.join(PDF_JS))?;
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
        .args([
            "ci",
            "--ignore-scripts",
            "--omit=optional",
            "--no-audit",
            "--no-fund",
        ])
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

/// Adds the viewer of documents and pdf.js, in the build for browsers that are some years old.
fn viewer(bundle: &mut Bundle, sources: &Path, package: &Path) -> anyhow::Result<()> {
    let stylesheet = "viewer.css";
    bundle.add(stylesheet, &read(&sources.join("css").join(stylesheet))?)?;
    let mut modules: Vec<(&str, String)> = Vec::new();
    for name in VIEWER_MODULES {
        let mut text = String::from_utf8(read(&sources.join("js/viewer").join(name))?)?;
        for (other, hashed) in &modules {
            text = text.replace(&format!("\"./{other}\""), &format!("\"./{hashed}\""));
        }
        modules.push((name, bundle.add(name, text.as_bytes())?));
    }
    for (name, file) in [
        ("pdf.js", "pdf.min.mjs"),
        ("pdf_worker.js", "pdf.worker.min.mjs"),
    ] {
        bundle.add(name, &read(&package.join("legacy/build").join(file))?)?;
    }
    let mut files = Vec::new();
    for (folder, endings) in PDF_JS_RESOURCES {
        for entry in fs::read_dir(package.join(folder))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if endings.iter().any(|ending| name.ends_with(ending)) {
                files.push((name.into_owned(), read(&path)?));
            }
        }
    }
    files.sort();
    bundle.add_folder("pdf-resources", &files)
}

/// The licenses of the embedded packages, which must be distributed with their files.
fn licenses(packages: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for (package, files) in LICENSES {
        for file in files {
            let license = String::from_utf8_lossy(&read(&packages.join(package).join(file))?)
                .trim()
                .to_owned();
            write!(text, "{package} {file}\n\n{license}\n\n\n")?;
        }
    }
    Ok(text)
}

/// The embedded files.
struct Bundle {
    folder: PathBuf,
    /// By their path below `/assets/`.
    files: BTreeMap<String, EmbeddedFile>,
    /// The constants of the generated source: name, value and documentation.
    constants: BTreeMap<String, (String, String)>,
}

struct EmbeddedFile {
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
            constants: BTreeMap::new(),
        })
    }

    /// Adds a file and returns its hashed name.
    fn add(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let Some((stem, extension)) = name.rsplit_once('.') else {
            bail!("{name} has no file extension");
        };
        let hashed = format!("{stem}.{}.{extension}", digest([bytes]));
        self.write(&hashed, extension, bytes)?;
        // Only the stylesheet references fonts, so they need no constants.
        if extension != "woff2" {
            self.constant(name, &hashed, &format!("The path of `{name}`."));
        }
        Ok(hashed)
    }

    /// Adds files that keep their names, in a folder whose name has a hash of their content.
    fn add_folder(&mut self, name: &str, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        let hashed = format!(
            "{name}.{}",
            digest(
                files
                    .iter()
                    .flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()])
            )
        );
        fs::create_dir_all(self.folder.join(&hashed))?;
        for (file, bytes) in files {
            let extension = file.rsplit('.').next().unwrap_or_default();
            self.write(&format!("{hashed}/{file}"), extension, bytes)?;
        }
        self.constant(
            name,
            &format!("{hashed}/"),
            &format!("The path of the folder `{name}`, with a slash at the end."),
        );
        Ok(())
    }

    fn constant(&mut self, name: &str, path: &str, documentation: &str) {
        let constant = name.replace(['.', '-'], "_").to_uppercase();
        let value = (format!("/assets/{path}"), documentation.to_owned());
        self.constants.insert(constant, value);
    }

    fn write(&mut self, path: &str, extension: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let media_type = match extension {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "txt" => "text/plain; charset=utf-8",
            "woff2" => "font/woff2",
            "ttf" => "font/ttf",
            "bcmap" | "pfb" => "application/octet-stream",
            other => bail!("unknown media type of .{other}"),
        };
        fs::write(self.folder.join(path), bytes)?;
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        gzip.write_all(bytes)?;
        let gzip = gzip.finish()?;
        // Fonts are compressed already.
        let gzipped = extension != "woff2" && gzip.len() < bytes.len();
        if gzipped {
            fs::write(self.folder.join(format!("{path}.gz")), gzip)?;
        }
        let file = EmbeddedFile {
            media_type,
            gzipped,
        };
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    /// The Rust source of the table, which refers to the type `Asset`.
    fn table(&self) -> String {
        let mut source = String::new();
        for (name, (value, documentation)) in &self.constants {
            let _ = writeln!(
                source,
                "/// {documentation}\npub const {name}: &str = \"{value}\";"
            );
        }
        source.push_str("\n/// Every embedded file.\npub static ALL: &[Asset] = &[\n");
        for (
            file,
            EmbeddedFile {
                media_type,
                gzipped,
            },
        ) in &self.files
        {
            let bytes = |suffix: &str| {
                format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/assets/{file}{suffix}\"))")
            };
            let gzip = if *gzipped {
                format!("Some({})", bytes(".gz"))
            } else {
                "None".to_owned()
            };
            let _ = writeln!(
                source,
                "    Asset {{ file: \"{file}\", media_type: \"{media_type}\", bytes: {}, gzip: {gzip} }},",
                bytes("")
            );
        }
        source.push_str("];\n");
        source
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    hex::encode(digest.finalize())[..HASH_DIGITS].to_owned()
}
