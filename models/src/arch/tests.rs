use super::*;

#[test]
fn presets_are_the_published_models() {
    let (cifar, tiny) = (Arch::vit_cifar(), Arch::vit_tiny());
    cifar.validate().unwrap();
    tiny.validate().unwrap();
    assert_eq!((cifar.tokens(), cifar.head_dim(), cifar.parameters()), (65, 64, 3_716_874));
    assert_eq!((tiny.tokens(), tiny.head_dim(), tiny.parameters()), (257, 16, 2_765_960));
    assert_eq!((cifar.label(3), tiny.label(3)), ("cat".into(), "class 3".into()));
    assert_eq!(cifar.name, "vit_7_4_32");
}

#[test]
fn toml_round_trips() {
    let mut arch = Arch::vit_cifar();
    arch.attention[2][1] = Attention::Relu;
    arch.attention[3][0] = Attention::Linear;
    arch.activation[6] = Activation::None;
    for arch in [arch, Arch::vit_tiny()] {
        let back = Arch::from_toml(&arch.to_toml()).unwrap();
        assert_eq!(back, arch);
        assert_eq!(back.hash(), arch.hash());
    }
}

#[test]
fn syntax_errors_name_what_is_accepted() {
    let text = Arch::vit(1, 1, 4, 4, 4, 4, 2).to_toml();
    for (old, new, part) in [
        ("softmax", "sofmax", "expected one of `softmax`, `relu`, `linear`"),
        ("gelu", "gleu", "expected one of `gelu`, `relu`, `none`"),
        ("gelu", "silu", "`activation[0]` is silu; accepted in version 1: gelu, relu, none"),
        ("mlp", "mpl", "unknown field `mpl`"),
        ("dim = 4", "dim = -4", "dim"),
        ("dim = 4\n", "", "missing field `dim`"),
    ] {
        assert!(text.contains(old), "{old} is not in {text}");
        let said = Arch::from_toml(&text.replacen(old, new, 1)).unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    }
    let long = " ".repeat(MAX_TEXT + 1);
    assert!(matches!(Arch::from_toml(&long), Err(Error::ArchSyntax(_))));
}

#[test]
fn bad_values_are_refused_by_field() {
    type Spoil = fn(&mut Arch);
    let bad: [(&str, Spoil); 22] = [
        ("name", |a| a.name = "a b".into()),
        ("name", |a| a.name.clear()),
        ("channels", |a| a.channels = 1),
        ("image", |a| a.image = usize::MAX),
        ("patch", |a| a.patch = 0),
        ("patch", |a| a.patch = 5),
        ("patch", |a| (a.image, a.patch) = (1024, 4)),
        ("dim", |a| a.dim = 4097),
        ("heads", |a| a.heads = 3),
        ("heads", |a| a.heads = 0),
        ("mlp", |a| a.mlp = 1 << 40),
        ("classes", |a| a.classes = 1),
        ("layers", |a| a.layers = 65),
        ("dim", |a| (a.dim, a.mlp, a.layers) = (4096, 16384, 64)),
        ("mean[1]", |a| a.mean[1] = f32::NAN),
        ("std[2]", |a| a.std[2] = 0.0),
        ("attention", |a| a.attention.truncate(6)),
        ("attention[5]", |a| a.attention[5].push(Attention::Relu)),
        ("activation", |a| a.activation.push(Activation::None)),
        ("labels", |a| a.labels.truncate(9)),
        ("labels[4]", |a| a.labels[4] = "\u{1b}[2J".into()),
        ("labels[0]", |a| a.labels[0] = "x".repeat(257)),
    ];
    for (expected, spoil) in bad {
        let mut arch = Arch::vit_cifar();
        spoil(&mut arch);
        match arch.validate() {
            Err(Error::Arch { field, why }) => assert_eq!(field, expected, "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
        let before = Arch::vit_cifar().hash();
        assert_ne!(arch.hash(), before, "{expected} is not part of the hash");
    }
}
