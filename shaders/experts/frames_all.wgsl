// frame_of — where an expert stands in its matrix
fn frame_of(expert: u32) -> u32 { return expert; }
