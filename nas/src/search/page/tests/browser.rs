//! The page as a real browser shows it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use sotto_models::Arch;
use sotto_models::arch::{Activation, Attention};

use super::page;
use crate::right::Right;
use crate::search::manifest::{Candidate, Manifest, Outcome};
use crate::search::settings::Settings;
use crate::search::summary::summarise;
use crate::search::trained::{Run, Trained};

/// The baselines of a real search, with latencies as shares of the range, and accuracies.
const BASELINES: [(&str, f64, f64); 8] = [
    ("all softmax", 1.0, 0.8612),
    ("all relu", 0.83, 0.8574),
    ("all linear", 0.41, 0.8421),
    ("uniform, 2 of 4 heads ReLU", 0.81, 0.8533),
    ("MPCViT, 10 of 20 heads ReLU", 0.76, 0.8549),
    ("random, lan", 0.52, 0.8502),
    ("random, wan", 0.55, 0.8489),
    ("all <b>bold</b>", 0.9, 0.8590),
];

/// Two networks with six points and seven baselines each.
fn manifest() -> Manifest {
    let words = ["--data", "d", "--out", "o", "--net", "lan", "--net", "wan"].map(String::from);
    let base = Arch::vit(5, 4, 96, 192, 32, 4, 10);
    let (mut models, mut candidates) = (BTreeMap::new(), Vec::new());
    let ranges = [("lan", (0.0713, 0.1029)), ("wan", (1.8214, 2.3105))];
    let mut add = |name: String, network: Option<&str>, share: f64, accuracy, arch: Arch| {
        let at = |(low, high): (f64, f64)| low + (high - low) * share;
        let searched = name.ends_with(" s");
        let model = format!("m{:02}", models.len());
        let latency = ranges.map(|(n, range)| (n.to_owned(), at(range))).into();
        let own = ranges.iter().find(|r| Some(r.0) == network).map(|r| at(r.1));
        let (validation, right) = (1.0 - accuracy, Right::default());
        let trained = Trained {
            arch,
            images: 10_000,
            epochs: 10,
            runs: vec![Run { seed: 1, accuracy, validation, right, seconds: 600.0 }],
            latency,
            private: None,
            measured: BTreeMap::new(),
        };
        models.insert(model.clone(), trained);
        let (network, budget) = (network.map(String::from), own.filter(|_| searched));
        let offered = searched || name.starts_with("all") || name.starts_with("uniform");
        candidates.push(Candidate { name, network, searched, offered, budget, model });
    };
    for (network, (low, high)) in ranges {
        let shares = [0.12, 0.41, 0.55, 0.76, 0.81, 0.98].iter().enumerate();
        for (i, share) in shares {
            let mut arch = base.clone().with_attention(Attention::Linear);
            arch.attention[i % 5][..=i % 4].fill(Attention::Softmax);
            arch.attention[(i + 2) % 5][0] = Attention::Relu;
            arch.activation[i % 5] = Activation::None;
            arch.activation[(i + 1) % 5] = Activation::Relu;
            let name = format!("{network} {:.3} s", low + (high - low) * share);
            let accuracy = [0.838, 0.8493, 0.8561, 0.8602, 0.8601, 0.8651][i];
            add(name, Some(network), *share, accuracy, arch);
        }
    }
    for (name, share, accuracy) in BASELINES {
        let network = name.strip_prefix("random, ");
        let kind = if name.contains("relu") { Attention::Relu } else { Attention::Softmax };
        add(name.into(), network, share, accuracy, base.clone().with_attention(kind));
    }
    let outcome = |range| Outcome { range, found: vec![], steps: 900, differences: [3e-15, 2e-3] };
    Manifest {
        settings: Settings::parse(words).unwrap().0,
        base,
        commands: vec!["sotto search --data cifar-10 --net <lan> & more".into()],
        searches: ranges.map(|(name, range)| (name.to_owned(), outcome(range))).into(),
        mpcvit: None,
        generations: 0,
        candidates,
        models,
    }
}

/// What the script below finds in the page.
#[derive(Debug, Deserialize)]
struct Facts {
    errors: Vec<String>,
    outside: Vec<String>,
    marks: Vec<String>,
    titles: Vec<String>,
    texts: Vec<String>,
    tables: Vec<Vec<String>>,
    cells: Vec<usize>,
    tip: (String, String, usize),
    overlaps: Vec<String>,
    commands: String,
    too_wide: bool,
}

/// Put before everything, and after it: moves the pointer onto a mark and writes down what is there.
const BEFORE: &str = "<script>const errors=[];addEventListener('error',e=>errors.push(e.message));\
addEventListener('securitypolicyviolation',e=>errors.push(e.blockedURI))</script>";
const AFTER: &str = "<script>const all=(s,r=document)=>[...r.querySelectorAll(s)];\
all('.mark')[3].dispatchEvent(new MouseEvent('mousemove',{clientX:innerWidth-5,clientY:innerHeight-5}));\
const shown=document.getElementById('tip'),overlaps=[];\
for(const plot of all('.wide>svg')){const t=all('text',plot),m=all('.mark',plot);\
const hit=(a,b)=>{const p=a.getBoundingClientRect(),q=b.getBoundingClientRect();\
return Math.min(p.right,q.right)-Math.max(p.left,q.left)>1&&Math.min(p.bottom,q.bottom)-Math.max(p.top,q.top)>2};\
t.forEach((a,i)=>{for(const b of [...t.slice(i+1),...m])if(hit(a,b))\
overlaps.push(a.textContent+' on '+(b.dataset.label||b.textContent))})}\
const facts={errors,overlaps,outside:all('[src],[href],link,img,iframe,object,embed').map(e=>e.outerHTML),\
marks:all('.mark').map(m=>m.dataset.label),titles:all('.mark>title').map(t=>t.textContent),\
texts:all('.wide>svg text').map(t=>t.textContent),tables:all('table').map(t=>all('tr',t).map(r=>r.innerText)),\
cells:all('.grids svg').map(g=>all('rect',g).length),commands:all('pre')[0].textContent,\
tip:[getComputedStyle(shown).display,shown.firstChild.textContent,all('rect',shown).length],\
too_wide:document.documentElement.scrollWidth>innerWidth};\
document.body.append(Object.assign(document.createElement('pre'),{id:'facts',textContent:JSON.stringify(facts)}))\
</script>";

/// A folder with the page in it, as it is and with the two scripts.
struct Opened(PathBuf);

impl Opened {
    fn new(name: &str) -> Self {
        let name = format!("sotto-nas-browser-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let text = page(&summarise(&manifest()));
        let asked = text.replace("<style>", &format!("{BEFORE}<style>"));
        let asked = asked.replace("</body>", &format!("{AFTER}</body>"));
        std::fs::write(folder.join("page.html"), text).unwrap();
        std::fs::write(folder.join("asked.html"), asked).unwrap();
        Self(folder)
    }

    /// Runs the browser on a file of the folder; returns what it prints.
    fn browse(&self, file: &str, options: &[&str]) -> String {
        let profile = self.0.join(format!("profile-{file}-{}", options.join("").len()));
        std::fs::create_dir_all(&profile).unwrap();
        let mut command = Command::new("chromium");
        let plain = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
                     --disable-background-networking --disable-component-update --disable-sync";
        command.args(plain.split_whitespace()).args(options);
        command.arg(format!("--user-data-dir={}", profile.display()));
        command.arg(format!("file://{}", self.0.join(file).display()));
        let done = command.stderr(Stdio::null()).output().unwrap_or_else(|e| {
            panic!(
                "chromium: {e}; this test opens the report in a browser: apt-get install chromium"
            )
        });
        assert!(done.status.success(), "chromium ended with {}", done.status);
        String::from_utf8(done.stdout).unwrap()
    }

    fn facts(&self, window: &str) -> Facts {
        let dom = self.browse("asked.html", &["--dump-dom", window]);
        let (_, rest) = dom.split_once("<pre id=\"facts\">").unwrap_or_else(|| panic!("{dom}"));
        let text = rest.split_once("</pre>").unwrap().0;
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&text).unwrap()
    }

    fn picture(&self, name: &str, options: &[&str]) -> image::RgbImage {
        let path = self.0.join(name);
        let shot = format!("--screenshot={}", path.display());
        self.browse("page.html", &[&[shot.as_str(), "--hide-scrollbars"], options].concat());
        read(&path)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Kept for a look where SOTTO_KEEP is set; else nobody needs it, and a leftover does no harm.
        if std::env::var_os("SOTTO_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn read(path: &Path) -> image::RgbImage {
    image::load_from_memory(&std::fs::read(path).unwrap()).unwrap().to_rgb8()
}

#[test]
fn a_browser_shows_every_point_name_table_and_command() {
    let opened = Opened::new("dom");
    let manifest = manifest();
    let summary = summarise(&manifest);
    let facts = opened.facts("--window-size=1100,900");
    assert_eq!(facts.errors, Vec::<String>::new());
    assert_eq!(facts.outside, Vec::<String>::new());
    assert_eq!(facts.overlaps, Vec::<String>::new());
    assert!(!facts.too_wide);
    let rows: Vec<_> = summary.networks.iter().flat_map(|n| &n.rows).collect();
    assert_eq!((rows.len(), facts.marks.len()), (2 * 13, 2 * 13));
    let own = |name: &str| {
        let network = summary.networks.iter().find_map(|n| name.strip_prefix(n.network.as_str()));
        network.map_or(name, str::trim_start).to_owned()
    };
    for ((row, mark), title) in rows.iter().zip(&facts.marks).zip(&facts.titles) {
        let told = format!("{}: {:.4} s, {:.2} %", row.name, row.latency(), 100.0 * row.accuracy);
        assert_eq!(*mark, told);
        assert_eq!(title.lines().count(), 1 + row.arch.layers, "{title}");
        assert!(title.starts_with(mark) && facts.texts.contains(&own(&row.name)), "{title}");
    }
    for axis in ["private latency of one image, seconds, ", "top-1 accuracy on test images"] {
        let times = facts.texts.iter().filter(|t| t.starts_with(axis)).count();
        assert_eq!(times, 2, "{axis}: {:?}", facts.texts);
    }
    // For each network a table of architectures and one of verdicts.
    assert_eq!(facts.tables.iter().map(Vec::len).collect::<Vec<_>>(), [14, 8, 14, 8]);
    let said = facts.tables.concat().join("\n");
    for part in ["budget, s", "86.51 %", "\tdominated", "\tnot dominated", "all <b>bold</b>"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(facts.cells.len() == 20 && facts.cells.iter().all(|&n| n == 5 * (4 + 1)));
    assert_eq!(facts.tip, ("block".into(), facts.marks[3].clone(), 25));
    assert_eq!(facts.commands.trim(), manifest.commands[0]);
    // A telephone scrolls plots and tables, not the page.
    let facts = opened.facts("--window-size=500,900");
    assert!(!facts.too_wide && facts.overlaps.is_empty(), "{:?}", facts.overlaps);
}

#[test]
fn the_picture_has_the_colours_of_points_kinds_and_activations() {
    let opened = Opened::new("picture");
    let window = "--window-size=1100,3700";
    let light = opened.picture("light.png", &[window]);
    let count = |picture: &image::RgbImage, colour: [u8; 3]| {
        picture.pixels().filter(|p| p.0 == colour).count()
    };
    for (what, colour, least) in [
        ("circles and their line", [0x1b, 0x6c, 0xa8], 2_000),
        ("squares", [0xd9, 0x5f, 0x02], 1_500),
        ("softmax", [0x7b, 0x32, 0x94], 20_000),
        ("ReLU attention", [0xb3, 0x58, 0x06], 5_000),
        ("linear", [0x5a, 0xb4, 0xac], 20_000),
        ("GELU", [0xc5, 0x1b, 0x7d], 10_000),
        ("ReLU", [0xfd, 0xb8, 0x63], 4_000),
        ("no activation", [0xd5, 0xdf, 0xdd], 4_000),
    ] {
        let got = count(&light, colour);
        assert!(got >= least, "{what}: {got} pixels");
    }
    assert_eq!((light.dimensions(), light.get_pixel(2, 2).0), ((1100, 3700), [255; 3]));
    let dark = opened.picture("dark.png", &[window, "--blink-settings=preferredColorScheme=0"]);
    assert_eq!(dark.get_pixel(2, 2).0, [0x16, 0x18, 0x1c]);
    assert!(count(&dark, [0x5a, 0xa9, 0xe6]) >= 2_000);
}
