// The reference implementation on the workloads of ./dev bench cedar: one JSON line a workload on standard output.
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use std::{env, fs, path::Path, str::FromStr, time::Instant};

fn uid(json: &serde_json::Value) -> EntityUid {
    let (kind, id) = (json["type"].as_str().unwrap(), json["id"].as_str().unwrap());
    EntityUid::from_type_name_and_id(kind.parse().unwrap(), id.parse().unwrap())
}

fn run(folder: &Path) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let policies = PolicySet::from_str(&read("policies.cedar")).unwrap();
    let entities = Entities::from_json_str(&read("entities.json"), None).unwrap();
    let requests: Vec<Request> = serde_json::from_str::<Vec<serde_json::Value>>(&read("requests.json"))
        .unwrap()
        .iter()
        .map(|r| {
            let context = Context::from_json_value(r["context"].clone(), None).unwrap();
            Request::new(uid(&r["principal"]), uid(&r["action"]), uid(&r["resource"]), context, None).unwrap()
        })
        .collect();
    let authorizer = Authorizer::new();
    let rounds = 5;
    let mut times = vec![f64::MAX; requests.len()];
    let mut decisions = String::new();
    for round in 0..rounds {
        for (i, request) in requests.iter().enumerate() {
            let start = Instant::now();
            let answer = authorizer.is_authorized(request, &policies, &entities);
            times[i] = times[i].min(start.elapsed().as_nanos() as f64);
            if round == 0 {
                decisions.push(if answer.decision() == Decision::Allow { '1' } else { '0' });
            }
        }
    }
    times.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let at = |p: f64| times[(p * (times.len() - 1) as f64) as usize];
    println!(
        "{{\"workload\":{:?},\"p50\":{},\"p99\":{},\"decisions\":{:?}}}",
        folder.file_name().unwrap().to_str().unwrap(), at(0.5), at(0.99), decisions
    );
}

fn main() {
    let folder = env::args().nth(1).expect("usage: cedar-rust WORKLOADS");
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all.iter().for_each(|f| run(f));
}
