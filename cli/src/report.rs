//! What is printed: results, costs, plans; tables for people and JSON for programs.

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;
use sotto_protocols::{Role, cost::Cost, make::whole_recipe, plan::Plan, spec::Kind};

use crate::{error::Error, source::Source};

/// A borderless table with right-aligned numbers.
pub fn table(header: &[&str], numbers_from: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(header.to_vec());
    for i in numbers_from..header.len() {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Columns whose widths are known beforehand, for lines that are printed as they come.
pub struct Columns {
    header: Vec<String>,
    widths: Vec<usize>,
    numbers_from: usize,
}

impl Columns {
    /// Columns under `header`; from `numbers_from` on they are aligned to the right.
    pub fn new(header: &[&str], numbers_from: usize) -> Self {
        let widths = header.iter().map(|name| name.len().max(9)).collect();
        let header = header.iter().map(|&name| name.to_owned()).collect();
        Self { header, widths, numbers_from }
    }

    /// Makes a column as wide as its longest text.
    pub fn fit<'a>(&mut self, column: usize, texts: impl Iterator<Item = &'a str>) {
        let longest = texts.map(|text| text.chars().count()).max().unwrap_or(0);
        self.widths[column] = self.widths[column].max(longest);
    }

    /// One line.
    pub fn line(&self, cells: &[String]) -> String {
        let padded = cells.iter().zip(&self.widths).enumerate().map(|(i, (cell, &width))| {
            match i < self.numbers_from {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            }
        });
        padded.collect::<Vec<_>>().join("  ")
    }

    /// The names of the columns.
    pub fn header(&self) -> String {
        self.line(&self.header)
    }
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// A count for people.
pub fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// One line of a plan's report.
#[derive(Clone, Debug, Serialize)]
pub struct PlanLine {
    /// The layer.
    pub layer: String,
    /// The gate.
    pub gate: String,
    /// Shape of its output.
    pub shape: Vec<usize>,
    /// Ring or opened width of its output in bits.
    pub width: Option<u32>,
    /// Fractional bits of its output.
    pub scale: u32,
    /// First level, and flights that it takes (shared with the gates of the same levels).
    pub level: usize,
    /// See `level`.
    pub flights: usize,
    /// Bytes from server to client.
    pub from_server: u64,
    /// Bytes from client to server.
    pub from_client: u64,
    /// Bytes of corrections.
    pub offline_bytes: u64,
    /// Multiply-adds at the dealer.
    pub dealer_work: u64,
    /// Multiply-adds before the input is known: server, client.
    pub offline_work: [u64; 2],
    /// Multiply-adds after: server, client.
    pub online_work: [u64; 2],
}

/// All lines of a plan; gates that cost nothing included.
pub fn plan_lines(plan: &Plan) -> Vec<PlanLine> {
    let mut first = vec![usize::MAX; plan.nodes.len()];
    for (level, steps) in plan.levels.iter().enumerate() {
        for s in steps {
            first[s.node] = first[s.node].min(level);
        }
    }
    let line = |(i, node): (usize, &sotto_protocols::plan::Node)| {
        let spec = &plan.wires[node.outputs[0].index()];
        let rounds = node.gate.rounds();
        let sent = |from: Role| {
            let exchanges = rounds.iter().flatten().filter(|e| e.to.sends(from));
            exchanges.map(|e| e.bytes() as u64).sum()
        };
        let work = node.gate.work();
        PlanLine {
            layer: plan.sections[node.section].clone(),
            gate: node.gate.name().to_owned(),
            shape: spec.shape.clone(),
            width: match spec.kind {
                Kind::Share { width } | Kind::Opened { width, .. } => Some(width),
                Kind::Form { .. } => None,
            },
            scale: spec.scale,
            level: first[i],
            flights: rounds.len(),
            from_server: sent(Role::Server),
            from_client: sent(Role::Client),
            offline_bytes: plan.node_correction_bytes(i) as u64,
            dealer_work: work.dealer,
            offline_work: work.offline,
            online_work: work.online,
        }
    };
    plan.nodes.iter().enumerate().map(line).collect()
}

/// The plan as a table: gates that cost something.
pub fn plan_table(plan: &Plan) -> Table {
    let mut table = table(
        &[
            "layer",
            "gate",
            "shape",
            "width",
            "scale",
            "flights",
            "server sends",
            "client sends",
            "offline",
            "online mult-adds",
        ],
        3,
    );
    let mut last = String::new();
    for l in plan_lines(plan) {
        let costs = l.flights > 0 || l.offline_bytes > 0 || l.online_work != [0, 0];
        if !costs {
            continue;
        }
        let layer = if l.layer == last { String::new() } else { l.layer.clone() };
        last = l.layer;
        let shape: Vec<String> = l.shape.iter().map(usize::to_string).collect();
        table.add_row(vec![
            layer,
            l.gate,
            shape.join("x"),
            l.width.map_or("form".into(), |w| w.to_string()),
            l.scale.to_string(),
            l.flights.to_string(),
            bytes(l.from_server),
            bytes(l.from_client),
            bytes(l.offline_bytes),
            count(l.online_work[0].max(l.online_work[1])),
        ]);
    }
    table
}

/// What a plan costs in all, with correlations from `source`.
///
/// # Errors
/// [`Error::Protocol`] where two parties cannot make them.
pub fn plan_summary(plan: &Plan, source: Source) -> Result<String, Error> {
    let (planned, cots) = (planned(plan, source)?, cots(plan, source)?);
    let online = plan.online();
    let offline_work = |work: String| match source.extension() {
        None => work,
        Some(_) => format!(
            "between the two, in {} flights, with {} COTs",
            planned.offline_flights,
            count(cots)
        ),
    };
    let work = plan.nodes.iter().map(|n| n.gate.work());
    let (dealer, offline, server) =
        work.fold((0, 0, 0), |(d, c, s), w| (d + w.dealer, c + w.offline[1], s + w.online[0]));
    Ok(format!(
        "setup    {} once for each client\n\
         offline  {} ({})\n\
         online   {} ({} from the server, {} from the client), {} flights, {} multiply-adds at the server\n\
         total    {} for each evaluation\n\
         reveals  {} bits to the client: the most that an evaluation tells of the weights",
        bytes(planned.setup_bytes),
        bytes(planned.offline_bytes),
        offline_work(format!(
            "dealer: {} multiply-adds, client: {}",
            count(dealer),
            count(offline)
        )),
        bytes(planned.online_bytes),
        bytes(online.from_server),
        bytes(online.from_client),
        planned.flights,
        count(server),
        bytes(planned.offline_bytes + planned.online_bytes),
        plan.revealed_bits(),
    ))
}

/// Correlated transfers of a batch: none with a dealer.
///
/// # Errors
/// As [`planned`].
pub fn cots(plan: &Plan, source: Source) -> Result<u64, Error> {
    Ok(match source.extension() {
        None => 0,
        Some(extension) => {
            let recipe = whole_recipe(plan, extension)?;
            [Role::Server, Role::Client].map(|role| recipe.cots(role) as u64).iter().sum()
        }
    })
}

/// What a plan costs with correlations from `source`.
///
/// # Errors
/// [`Error::Protocol`] where two parties cannot make them.
pub fn planned(plan: &Plan, source: Source) -> Result<Cost, Error> {
    Ok(match source.extension() {
        None => plan.cost(),
        Some(extension) => whole_recipe(plan, extension)?.cost(plan),
    })
}
