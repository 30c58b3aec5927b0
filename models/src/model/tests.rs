use super::*;
use crate::Error;

/// A small sentence encoder, as BERT's.
pub(crate) fn words() -> Model {
    Model {
        name: "words".into(),
        labels: Vec::new(),
        input: Input::Words(Words {
            vocabulary: 50,
            positions: 12,
            kinds: 2,
            width: 16,
            norm: true,
            table: Table::Public,
        }),
        stack: Stack {
            layers: 2,
            heads: 2,
            width: 16,
            hidden: 24,
            place: Place::After,
            eps: 1e-12,
            qkv_bias: true,
            shared: false,
            attention: vec![vec![Attention::Softmax; 2]; 2],
            activation: vec![Activation::Gelu; 2],
        },
        output: Output::Embedding { pool: Pool::Mean, normalise: true },
    }
}

/// A small ViT with a class token and a register.
pub(crate) fn pictures() -> Model {
    let base = Model::from(&Arch::vit(2, 2, 16, 24, 8, 4, 3));
    let mut model = Model { name: "pictures".into(), ..base };
    let Input::Pixels(pixels) = &mut model.input else { unreachable!("a picture's") };
    pixels.lead = 2;
    model.stack = Stack { place: Place::Before, eps: 1e-6, qkv_bias: true, ..model.stack };
    model
}

fn output(field: &str, value: Output) -> Model {
    let base = if field == "pictures" { pictures() } else { words() };
    Model { output: value, ..base }
}

#[test]
fn files_of_version_2_round_trip() {
    let hidden = Some(Hidden { width: 7, activation: Activation::Tanh });
    let classes = Classes { classes: 3, pool: Pool::First, hidden };
    let shared = Stack { shared: true, ..words().stack };
    let models = [
        words(),
        pictures(),
        Model { stack: shared, ..words() },
        output("words", Output::Classes(classes)),
        output("words", Output::Tokens { classes: 9 }),
        Model::from(&Arch::vit_cifar()),
    ];
    for model in &models {
        model.validate().unwrap();
        let text = model.to_toml();
        assert!(text.starts_with("version = 2\n"), "{text}");
        assert_eq!(&Model::from_toml(&text).unwrap(), model);
    }
    let mut hashes: Vec<_> = models.iter().map(Model::hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), models.len());
}

#[test]
fn files_of_version_1_are_mpcvit_s() {
    for arch in [Arch::vit_cifar(), Arch::vit_tiny()] {
        let model = Model::from_toml(&arch.to_toml()).unwrap();
        assert_eq!(model, Model::from(&arch));
        assert_eq!((model.tokens(), model.parameters()), (arch.tokens(), arch.parameters()));
        assert_eq!(model.label(3), arch.label(3));
    }
    let text = include_str!("../../demo/arch.toml");
    assert_eq!(Model::from_toml(text).unwrap().stack.place, Place::Mpcvit);
}

#[test]
fn syntax_errors_name_what_is_accepted() {
    let text = words().to_toml();
    for (old, new, part) in [
        ("version = 2", "version = 3", "`version` is 3; accepted: 2"),
        ("softmax", "sofmax", "expected one of `softmax`, `relu`, `linear`"),
        ("after", "later", "expected one of `before`, `after`, `mpcvit`"),
        ("[input.words]", "[input.sounds]", "expected `pixels` or `words`"),
        ("hidden = 24", "hiden = 24", "unknown field `hiden`"),
        ("kinds = 2\n", "", "missing field `kinds`"),
        ("[output.embedding]", "[output.next]", "expected one of `classes`, `tokens`, `embedding`"),
    ] {
        assert!(text.contains(old), "{old} is not in {text}");
        let said = Model::from_toml(&text.replacen(old, new, 1)).unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    }
    let long = " ".repeat((4 << 20) + 1);
    assert!(matches!(Model::from_toml(&long), Err(Error::ArchSyntax(_))));
}

#[test]
fn bad_values_are_refused_by_field() {
    type Spoil = fn(&mut Model);
    fn table(model: &mut Model) -> &mut Words {
        match &mut model.input {
            Input::Words(words) => words,
            Input::Pixels(_) => unreachable!("the model reads words"),
        }
    }
    let bad: [(&str, Spoil); 23] = [
        ("name", |m| m.name = "a b".into()),
        ("stack.width", |m| m.stack.width = 4097),
        ("stack.width", |m| {
            let kinds = vec![vec![Attention::Softmax; 2]; 64];
            let sizes = Stack { width: 4096, hidden: 16384, layers: 64, ..m.stack.clone() };
            let activation = vec![Activation::Gelu; 64];
            m.stack = Stack { attention: kinds, activation, ..sizes };
        }),
        ("stack.heads", |m| m.stack.heads = 3),
        ("stack.heads", |m| m.stack.heads = 0),
        ("stack.hidden", |m| m.stack.hidden = usize::MAX),
        ("stack.layers", |m| m.stack.layers = 65),
        ("stack.eps", |m| m.stack.eps = 0.0),
        ("stack.eps", |m| m.stack.eps = f32::NAN),
        ("stack.attention", |m| m.stack.attention.truncate(1)),
        ("stack.attention[1]", |m| m.stack.attention[1].push(Attention::Relu)),
        ("stack.attention[1]", |m| m.stack.attention[1][0] = Attention::Linear),
        ("stack.activation", |m| m.stack.activation.clear()),
        ("stack.place", |m| m.stack.place = Place::Mpcvit),
        ("input.words.vocabulary", |m| table(m).vocabulary = (1 << 18) + 1),
        ("input.words.positions", |m| table(m).positions = 8193),
        ("input.words.kinds", |m| table(m).kinds = 257),
        ("input.words.width", |m| table(m).width = 0),
        ("labels", |m| {
            m.output = Output::Tokens { classes: 3 };
            m.labels = vec!["x".into(); 2];
        }),
        ("labels[1]", |m| {
            m.output = Output::Tokens { classes: 2 };
            m.labels = vec!["x".into(), "\u{1b}[2J".into()];
        }),
        ("output.tokens.classes", |m| m.output = Output::Tokens { classes: 65537 }),
        ("output.embedding.pool", |m| {
            m.output = Output::Embedding { pool: Pool::FirstTwo, normalise: false };
        }),
        ("output.classes.hidden.activation", |m| {
            let hidden = Some(Hidden { width: 4, activation: Activation::None });
            m.output = Output::Classes(Classes { classes: 2, pool: Pool::First, hidden });
        }),
    ];
    for (expected, spoil) in bad {
        let mut model = words();
        spoil(&mut model);
        match model.validate() {
            Err(Error::Arch { field, why }) => assert_eq!(field, expected, "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    type Cut = fn(&mut Pixels);
    let bad: [(&str, Cut); 7] = [
        ("input.pixels.channels", |p| p.channels = 1),
        ("input.pixels.image", |p| p.image = usize::MAX),
        ("input.pixels.patch", |p| p.patch = 5),
        ("input.pixels.patch", |p| (p.image, p.patch) = (1024, 4)),
        ("input.pixels.lead", |p| p.lead = 65),
        ("input.pixels.mean[1]", |p| p.mean[1] = f32::INFINITY),
        ("input.pixels.std[2]", |p| p.std[2] = 0.0),
    ];
    for (expected, spoil) in bad {
        let mut model = pictures();
        let Input::Pixels(pixels) = &mut model.input else { unreachable!("a picture's") };
        spoil(pixels);
        match model.validate() {
            Err(Error::Arch { field, why }) => assert_eq!(field, expected, "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn tensors_are_those_of_the_table() {
    let names = |model: &Model| -> Vec<String> {
        model.tensors().into_iter().map(|(name, _)| name).collect()
    };
    let model = words();
    let block = |n: usize| -> Vec<String> {
        let parts = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"];
        let both = parts.iter().flat_map(|p| [format!("{p}.weight"), format!("{p}.bias")]);
        both.map(|p| format!("blocks.{n}.{p}")).collect()
    };
    let tables = ["word.weight", "position.weight", "kind.weight", "norm.weight", "norm.bias"]
        .map(|n| format!("embed.{n}"));
    assert_eq!(names(&model), [&tables[..], &block(0), &block(1)].concat());
    assert!(names(&model).iter().all(|n| model.is_public(n) == n.starts_with("embed.")));

    // ALBERT: narrow tables, one layer for all; a pooler before two classes.
    let mut albert = words();
    albert.stack.shared = true;
    let Input::Words(table) = &mut albert.input else { unreachable!("words") };
    (table.width, table.kinds, table.norm) = (8, 0, false);
    let hidden = Some(Hidden { width: 10, activation: Activation::Tanh });
    albert.output = Output::Classes(Classes { classes: 2, pool: Pool::First, hidden });
    let tensors = albert.tensors();
    let shape = |name: &str| tensors.iter().find(|(n, _)| n == name).map(|(_, s)| s.clone());
    assert_eq!(shape("embed.map.weight"), Some(vec![16, 8]));
    assert_eq!(shape("embed.word.weight"), Some(vec![50, 8]));
    assert_eq!(shape("pool.weight"), Some(vec![10, 16]));
    assert_eq!(shape("head.weight"), Some(vec![2, 10]));
    for absent in ["embed.kind.weight", "embed.norm.weight", "blocks.1.norm1.weight", "norm.weight"]
    {
        assert_eq!(shape(absent), None, "{absent}");
    }
    assert_eq!(albert.block(1), "blocks.0");

    // DINOv2 with its head over class token and mean patch.
    let classes = Classes { classes: 3, pool: Pool::FirstAndMean, hidden: None };
    let dino = output("pictures", Output::Classes(classes));
    let tensors = dino.tensors();
    let shape = |name: &str| tensors.iter().find(|(n, _)| n == name).map(|(_, s)| s.clone());
    assert_eq!(shape("cls_token"), Some(vec![1, 2, 16]));
    assert_eq!(shape("pos_embed"), Some(vec![1, 6, 16]));
    assert_eq!(shape("head.weight"), Some(vec![3, 32]));
    assert_eq!(shape("norm.weight"), Some(vec![16]));
    assert!(!dino.is_public("cls_token"));
}
