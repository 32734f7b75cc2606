#[derive(stillheap::typed::Durable)]
struct Root {
    #[durable(skip)]
    a: u8,
}

fn main() {}
