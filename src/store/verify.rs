//! Reads everything once: a record that opens under its seal is whole.

use super::{Store, StoreError, rescue::caught, table::SealedTree, tables::Name};

impl Store {
    /// Reads every record, and returns how many there are. Blocks.
    ///
    /// # Errors
    /// The first damage that is met.
    pub fn verify(&self) -> Result<usize, StoreError> {
        caught(&self.0.dir, || {
            let mut records = 0;
            for (name, (tree, _)) in Name::ALL.iter().zip(&self.0.tables) {
                let (tree, seal, dir) = (tree.clone(), self.0.seal.clone(), self.0.dir.clone());
                records += self.verify_tree(&SealedTree { tree, name: name.as_str(), seal, dir })?;
            }
            Ok(records + self.verify_tree(self.0.inbox.entries())?)
        })
    }

    fn verify_tree(&self, sealed: &SealedTree) -> Result<usize, StoreError> {
        let mut records = 0;
        for record in &sealed.tree {
            let (key, value) = record.map_err(|source| sealed.failed(source))?;
            // A record whose owner's key was destroyed is gone, and no damage.
            self.0.vault.unseal(sealed.name, &key, sealed.open_plain(&key, &value)?)?;
            records += 1;
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op3_each_record_is_read_and_one_that_was_changed_is_named_by_its_table() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), &[7; 32]).expect("a fresh one");
        assert_eq!(store.verify().expect("whole"), 0);
        let (tree, _) = &store.0.tables[Name::ALL[0] as usize];
        tree.insert(b"key", b"no seal made this".as_slice()).expect("written");
        let error = store.verify().expect_err("damaged").to_string();
        assert!(error.contains(&format!("table {} is damaged", Name::ALL[0].as_str())), "{error}");
    }
}
