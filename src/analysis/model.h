// A solver's model as a request and entities. Private to analysis/.
#pragma once

#include <map>
#include <vector>

#include "analysis/compiler.h"
#include "analysis/prove.h"

namespace wary::analysis {

class ModelReader {
 public:
  ModelReader(Encoding& encoding, const z3::model& model) : encoding_(encoding), model_(model) {}
  Witness read(const Compiler& compiler);

 private:
  struct Known {
    cedar::EntityPtr uid;
    z3::expr value;
  };

  cedar::Value value_of(const Term& term);
  cedar::Value record_of(const Term& term);
  cedar::Value set_of(const z3::expr& array, const schema::Type& element);
  cedar::Value simple(const z3::expr& value, const schema::Type& type);
  cedar::Value tuple(const z3::expr& value, const schema::Type& type);
  cedar::Value absent(const schema::Type& type);  // of what no policy asks for
  std::vector<z3::expr> candidates(const z3::expr& array);
  cedar::EntityPtr entity_of(const std::string& type, const z3::expr& value);
  cedar::EntityPtr listed(const std::string& type, const z3::expr& value);
  cedar::EntityPtr used(const std::string& type, const Known& known);
  void name_entities();
  cedar::EntityHandle entity(const std::string& type, const Known& known);
  void add_parents();
  void add_tags(const schema::EntityType& type, const Known& known, cedar::Entity& out);
  z3::expr eval(const z3::expr& e) { return model_.eval(e, true); }
  bool is_true(const z3::expr& e) { return eval(e).is_true(); }
  std::uint64_t bits(const z3::expr& value);
  std::string text(const z3::expr& value);

  Encoding& encoding_;
  z3::model model_;
  std::map<std::pair<std::string, std::string>, Known> known_;  // by type and the model's name
  std::map<std::string, std::set<std::string>> ids_;            // taken, by type
  std::vector<std::pair<std::string, Known>> open_;             // to be described
  std::map<cedar::EntityUid, std::vector<cedar::EntityPtr>> parents_;
};

}  // namespace wary::analysis
