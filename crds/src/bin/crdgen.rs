//! Prints the CRDs as YAML, for `make gen`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", gatehouse_crds::custom_resource_definitions_yaml()?);
    Ok(())
}
