#[derive(stillheap::typed::Durable)]
struct Root {
    name: &'static str,
}

fn main() {}
