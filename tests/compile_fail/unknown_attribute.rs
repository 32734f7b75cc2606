#[derive(stillheap::typed::Durable)]
#[durable(rename = "Db")]
struct Root {
    a: u8,
}

fn main() {}
