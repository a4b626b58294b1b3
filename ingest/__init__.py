"""From stream to database: decodes reports, removes duplicates, writes in bulk, settles consumption, finds leaks."""
