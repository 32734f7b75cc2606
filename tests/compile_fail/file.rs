#[derive(stillheap::typed::Durable)]
struct Root {
    log: std::fs::File,
}

fn main() {}
