//! A table page by page, by the order of its key's index.

use crate::{columns::Columns, table::TableId};

use super::{begin::NotBegun, cells, claim::PostgresClaim, params::Param, standing};

impl PostgresClaim {
    /// See [`crate::sink::Claim::page`].
    pub(super) async fn read_page(
        &mut self,
        table: TableId,
        behind: Option<&Columns>,
        limit: u32,
    ) -> Result<Columns, NotBegun> {
        let target = self.facts.target(table);
        let mut params = behind.map(|key| standing::key_params(target, key, None)).unwrap_or_default();
        params.push(Param::Int8(i64::from(limit)));
        let rows = self.session.query(&target.page(behind.is_some()), params).await;
        let rows = rows.map_err(|error| NotBegun::Table(table, error))?;
        let mut keys = Columns::new(target.shape.key_logicals());
        for row in &rows {
            for (at, &k) in target.shape.key.iter().enumerate() {
                cells::push(cells::raw(row, at)?, target.shape.columns[k].scale, &mut keys.columns[at])?;
            }
            keys.end_row();
        }
        Ok(keys)
    }
}
