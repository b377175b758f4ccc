The replication core: many-group Raft with quiet groups, snapshots, learners, witnesses and copies of bodies, found sound by simulation (`make simulate`) and by planted bugs (`make mutants`).
